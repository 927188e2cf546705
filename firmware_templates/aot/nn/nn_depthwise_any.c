#include "nn.h"
#include "nn_rows.h"

void nn_depthwise_any_row(const nn_convolution_t* op, int32_t row, const int8_t* input, int32_t input_rows,
                          int8_t* output) {
  const nn_rows_t rows = nn_rows(input, input_rows, op->input_width * op->input_channels, op->input_height,
                                 row * op->stride_height - op->pad_above, op->filter_height, op->dilation_height);
  const int32_t repeats = op->output_channels / op->input_channels;
  const int8_t* filter = op->filter + rows.first * op->filter_width * op->output_channels;
  for (int32_t column = 0; column < op->output_width; ++column) {
    const int32_t x = column * op->stride_width - op->pad_left;
    for (int32_t channel = 0; channel < op->output_channels; ++channel) {
      const int8_t* values = rows.row + channel / repeats;
      const int8_t* weights = filter + channel;
      int32_t sum = op->bias[channel];
      for (int32_t i = rows.first; i < rows.end; ++i, values = nn_next_row(&rows, values)) {
        for (int32_t j = 0; j < op->filter_width; ++j, weights += op->output_channels) {
          const int32_t in_x = x + j * op->dilation_width;
          if (in_x < 0 || in_x >= op->input_width) {
            continue;
          }
          sum += (values[in_x * op->input_channels] + op->input_offset) * *weights;
        }
      }
      sum = nn_scale(sum, op->multiplier[channel], op->shift[channel]) + op->output_offset;
      *output++ = nn_clamp(sum, op->minimum, op->maximum);
    }
  }
}

void nn_depthwise_any(const nn_convolution_t* op, const int8_t* input, int8_t* output) {
  for (int32_t batch = 0; batch < op->batches; ++batch) {
    for (int32_t row = 0; row < op->output_height; ++row) {
      nn_depthwise_any_row(op, row, input, op->input_height, output);
      output += op->output_width * op->output_channels;
    }
    input += op->input_height * op->input_width * op->input_channels;
  }
}
