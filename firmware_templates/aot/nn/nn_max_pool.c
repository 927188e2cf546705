#include "nn.h"
#include "nn_fixed_point.h"

void nn_max_pool(const nn_pool_t* op, const int8_t* input, int8_t* output) {
  for (int32_t pixel = 0; pixel < op->batches * op->output_height * op->output_width; ++pixel) {
    const int32_t x = pixel % op->output_width * op->stride_width - op->pad_left;
    const int32_t row = pixel / op->output_width;
    const int32_t y = row % op->output_height * op->stride_height - op->pad_above;
    const int8_t* image = input + row / op->output_height * op->input_height * op->input_width * op->channels;
    const int32_t first_x = nn_larger(x, 0), end_x = nn_smaller(x + op->window_width, op->input_width);
    const int32_t first_y = nn_larger(y, 0), end_y = nn_smaller(y + op->window_height, op->input_height);
    for (int32_t channel = 0; channel < op->channels; ++channel) {
      int32_t largest = INT8_MIN;
      for (int32_t i = first_y; i < end_y; ++i) {
        const int8_t* value = image + (i * op->input_width + first_x) * op->channels + channel;
        for (int32_t j = first_x; j < end_x; ++j, value += op->channels) {
          largest = nn_larger(largest, *value);
        }
      }
      *output++ = nn_clamp(largest, op->minimum, op->maximum);
    }
  }
}
