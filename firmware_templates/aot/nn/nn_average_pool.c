#include "nn.h"
#include "nn_fixed_point.h"

void nn_average_pool(const nn_pool_t* op, const int8_t* input, int8_t* output) {
  for (int32_t pixel = 0; pixel < op->batches * op->output_height * op->output_width; ++pixel) {
    const int32_t x = pixel % op->output_width * op->stride_width - op->pad_left;
    const int32_t row = pixel / op->output_width;
    const int32_t y = row % op->output_height * op->stride_height - op->pad_above;
    const int8_t* image = input + row / op->output_height * op->input_height * op->input_width * op->channels;
    const int32_t first_x = nn_larger(x, 0), end_x = nn_smaller(x + op->window_width, op->input_width);
    const int32_t first_y = nn_larger(y, 0), end_y = nn_smaller(y + op->window_height, op->input_height);
    const int32_t count = (end_x - first_x) * (end_y - first_y);
    for (int32_t channel = 0; channel < op->channels; ++channel) {
      int32_t sum = 0;
      for (int32_t i = first_y; i < end_y; ++i) {
        const int8_t* value = image + (i * op->input_width + first_x) * op->channels + channel;
        for (int32_t j = first_x; j < end_x; ++j, value += op->channels) {
          sum += *value;
        }
      }
      sum = (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
      *output++ = nn_clamp(sum, op->minimum, op->maximum);
    }
  }
}
