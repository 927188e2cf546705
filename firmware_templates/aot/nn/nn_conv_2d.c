#include "nn_four.h"

// Copies a window into `values`; outside the image every value is the one that counts as 0.
static void gather(const nn_convolution_t* op, const int8_t* image, int32_t y, int32_t x, int8_t* values) {
  const int32_t channels = op->input_channels, width = op->filter_width;
  const int32_t before = nn_smaller(nn_larger(0, -x), width);
  const int32_t within = nn_larger(0, nn_smaller(width, op->input_width - x) - before);
  for (int32_t row = op->filter_height; row > 0; --row, ++y) {
    const int inside = y >= 0 && y < op->input_height;
    if (!inside || within < width) {
      nn_repeat_value(values, op->padding, width * channels);
    }
    if (inside) {
      const int8_t* from = image + (y * op->input_width + x + before) * channels;
      nn_copy_values(values + before * channels, from, within * channels);
    }
    values += width * channels;
  }
}

void nn_conv_2d(const nn_convolution_t* op, const int8_t* input, int8_t* output, void* scratch) {
  const int32_t depth = op->filter_height * op->filter_width * op->input_channels;
  for (int32_t row = 0; row < op->batches * op->output_height; ++row) {
    const int32_t y = row % op->output_height * op->stride_height - op->pad_above;
    const int8_t* image = input + row / op->output_height * op->input_height * op->input_width * op->input_channels;
    for (int32_t column = 0; column < op->output_width; ++column) {
      gather(op, image, y, column * op->stride_width - op->pad_left, scratch);
      nn_pixel(op, depth, scratch, output);
      output += op->output_channels;
    }
  }
}
