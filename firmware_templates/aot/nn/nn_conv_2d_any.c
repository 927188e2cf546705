#include "nn.h"
#include "nn_rows.h"

void nn_conv_2d_any_row(const nn_convolution_t* op, int32_t row, const int8_t* input, int32_t input_rows,
                        int8_t* output) {
  const nn_rows_t rows = nn_rows(input, input_rows, op->input_width * op->input_channels, op->input_height,
                                 row * op->stride_height - op->pad_above, op->filter_height, op->dilation_height);
  const int32_t group_outputs = op->output_channels / (op->input_channels / op->filter_channels);
  const int32_t filter_row = op->filter_width * op->filter_channels;
  for (int32_t column = 0; column < op->output_width; ++column) {
    const int32_t x = column * op->stride_width - op->pad_left;
    const int8_t* filter = op->filter + rows.first * filter_row;
    for (int32_t channel = 0; channel < op->output_channels; ++channel, filter += op->filter_height * filter_row) {
      const int8_t* from = rows.row + channel / group_outputs * op->filter_channels;
      const int8_t* weights = filter;
      int32_t sum = op->bias[channel];
      for (int32_t i = rows.first; i < rows.end; ++i, from = nn_next_row(&rows, from)) {
        for (int32_t j = 0; j < op->filter_width; ++j, weights += op->filter_channels) {
          const int32_t in_x = x + j * op->dilation_width;
          if (in_x < 0 || in_x >= op->input_width) {
            continue;
          }
          const int8_t* values = from + in_x * op->input_channels;
          for (int32_t k = 0; k < op->filter_channels; ++k) {
            sum += (values[k] + op->input_offset) * weights[k];
          }
        }
      }
      sum = nn_scale(sum, op->multiplier[channel], op->shift[channel]) + op->output_offset;
      *output++ = nn_clamp(sum, op->minimum, op->maximum);
    }
  }
}

void nn_conv_2d_any(const nn_convolution_t* op, const int8_t* input, int8_t* output) {
  for (int32_t batch = 0; batch < op->batches; ++batch) {
    for (int32_t row = 0; row < op->output_height; ++row) {
      nn_conv_2d_any_row(op, row, input, op->input_height, output);
      output += op->output_width * op->output_channels;
    }
    input += op->input_height * op->input_width * op->input_channels;
  }
}
