#include "nn.h"
#include "nn_fixed_point.h"

void nn_conv_2d_any(const nn_convolution_t* op, const int8_t* input, int8_t* output) {
  const int32_t group_outputs = op->output_channels / (op->input_channels / op->filter_channels);
  for (int32_t pixel = 0; pixel < op->batches * op->output_height * op->output_width; ++pixel) {
    const int32_t x = pixel % op->output_width * op->stride_width - op->pad_left;
    const int32_t row = pixel / op->output_width;
    const int32_t y = row % op->output_height * op->stride_height - op->pad_above;
    const int8_t* image = input + row / op->output_height * op->input_height * op->input_width * op->input_channels;
    const int8_t* weights = op->filter;
    for (int32_t channel = 0; channel < op->output_channels; ++channel) {
      const int8_t* group = image + channel / group_outputs * op->filter_channels;
      int32_t sum = op->bias[channel];
      for (int32_t i = 0; i < op->filter_height; ++i) {
        const int32_t in_y = y + i * op->dilation_height;
        for (int32_t j = 0; j < op->filter_width; ++j, weights += op->filter_channels) {
          const int32_t in_x = x + j * op->dilation_width;
          if (in_y < 0 || in_y >= op->input_height || in_x < 0 || in_x >= op->input_width) {
            continue;
          }
          const int8_t* values = group + (in_y * op->input_width + in_x) * op->input_channels;
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
