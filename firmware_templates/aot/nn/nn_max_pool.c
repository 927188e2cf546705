#include "nn.h"
#include "nn_rows.h"

void nn_max_pool_row(const nn_pool_t* op, int32_t row, const int8_t* input, int32_t input_rows, int8_t* output) {
  const int32_t channels = op->channels;
  const nn_rows_t rows = nn_rows(input, input_rows, op->input_width * channels, op->input_height,
                                 row * op->stride_height - op->pad_above, op->window_height, 1);
  for (int32_t column = 0; column < op->output_width; ++column) {
    const int32_t x = column * op->stride_width - op->pad_left;
    const int32_t first_x = nn_larger(x, 0), end_x = nn_smaller(x + op->window_width, op->input_width);
    for (int32_t channel = 0; channel < channels; ++channel) {
      const int8_t* values = rows.row + first_x * channels + channel;
      int32_t largest = INT8_MIN;
      for (int32_t left = rows.end - rows.first; left > 0; --left, values = nn_next_row(&rows, values)) {
        const int8_t* value = values;
        for (int32_t j = first_x; j < end_x; ++j, value += channels) {
          largest = nn_larger(largest, *value);
        }
      }
      *output++ = nn_clamp(largest, op->minimum, op->maximum);
    }
  }
}

void nn_max_pool(const nn_pool_t* op, const int8_t* input, int8_t* output) {
  for (int32_t batch = 0; batch < op->batches; ++batch) {
    for (int32_t row = 0; row < op->output_height; ++row) {
      nn_max_pool_row(op, row, input, op->input_height, output);
      output += op->output_width * op->channels;
    }
    input += op->input_height * op->input_width * op->channels;
  }
}
