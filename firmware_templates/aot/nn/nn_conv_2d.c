#include "nn_four.h"
#include "nn_rows.h"

// Copies the window that begins in column x into `values`; outside the image every value is the one that counts as 0.
static void gather(const nn_convolution_t* op, const nn_rows_t* rows, int32_t x, int8_t* values) {
  const int32_t channels = op->input_channels, width = op->filter_width;
  const int32_t before = nn_smaller(nn_larger(0, -x), width);
  const int32_t within = nn_larger(0, nn_smaller(width, op->input_width - x) - before);
  const int8_t* from = rows->row + (x + before) * channels;
  for (int32_t tap = 0; tap < op->filter_height; ++tap) {
    const int inside = tap >= rows->first && tap < rows->end;
    if (!inside || within < width) {
      nn_repeat_value(values, op->padding, width * channels);
    }
    if (inside) {
      nn_copy_values(values + before * channels, from, within * channels);
      from = nn_next_row(rows, from);
    }
    values += width * channels;
  }
}

void nn_conv_2d_row(const nn_convolution_t* op, int32_t row, const int8_t* input, int32_t input_rows, int8_t* output,
                    void* scratch) {
  const int32_t depth = op->filter_height * op->filter_width * op->input_channels;
  const nn_rows_t rows = nn_rows(input, input_rows, op->input_width * op->input_channels, op->input_height,
                                 row * op->stride_height - op->pad_above, op->filter_height, 1);
  for (int32_t column = 0; column < op->output_width; ++column) {
    gather(op, &rows, column * op->stride_width - op->pad_left, scratch);
    nn_pixel(op, depth, scratch, output);
    output += op->output_channels;
  }
}

void nn_conv_2d(const nn_convolution_t* op, const int8_t* input, int8_t* output, void* scratch) {
  for (int32_t batch = 0; batch < op->batches; ++batch) {
    for (int32_t row = 0; row < op->output_height; ++row) {
      nn_conv_2d_row(op, row, input, op->input_height, output, scratch);
      output += op->output_width * op->output_channels;
    }
    input += op->input_height * op->input_width * op->input_channels;
  }
}
