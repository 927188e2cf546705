#include "nn_four.h"

// The part of the window that lies inside the image, never empty; a gap leads from the end of a row to the next.
typedef struct {
  const int8_t* input;
  const int8_t* filter;
  int32_t rows, columns, input_gap, filter_gap;
} window_t;

#ifdef __GNUC__
#define NN_APART __attribute__((noinline))
#else
#define NN_APART
#endif

// Apart from the outputs, as the compiler would run out of registers in the innermost loop.
static NN_APART void four_sums(const nn_convolution_t* op, const window_t* window, int32_t channel, nn_sums_t* sums) {
  const int32_t channels = op->output_channels, offset = op->input_offset;
  nn_sums_t summed = *sums;
  const int8_t* values = window->input + channel;
  const int8_t* weights = window->filter + channel;
  for (int32_t row = window->rows; row > 0; --row) {
    int32_t columns = window->columns;
    do {
      summed = nn_four_channels(summed, &values, offset, &weights, channels);
    } while (--columns > 0);
    values += window->input_gap;
    weights += window->filter_gap;
  }
  *sums = summed;
}

static NN_APART void four_outputs(const nn_convolution_t* op, int32_t channel, const nn_sums_t* sums, int8_t* output) {
  const int32_t* multiplier = op->multiplier + channel;
  const int32_t* shift = op->shift + channel;
  const int32_t offset = op->output_offset;
  nn_store_four(nn_output(sums->a, multiplier[0], shift[0], offset), nn_output(sums->b, multiplier[1], shift[1], offset),
                nn_output(sums->c, multiplier[2], shift[2], offset), nn_output(sums->d, multiplier[3], shift[3], offset),
                nn_range(op), output);
}

static void one_output(const nn_convolution_t* op, const window_t* window, int32_t channel, int8_t* output) {
  const int8_t* values = window->input + channel;
  const int8_t* weights = window->filter + channel;
  int32_t sum = op->bias[channel];
  for (int32_t row = window->rows; row > 0; --row) {
    for (int32_t column = window->columns; column > 0; --column) {
      sum += (*values + op->input_offset) * *weights;
      values += op->output_channels;
      weights += op->output_channels;
    }
    values += window->input_gap;
    weights += window->filter_gap;
  }
  nn_store_one(nn_output(sum, op->multiplier[channel], op->shift[channel], op->output_offset), nn_range(op), output);
}

void nn_depthwise(const nn_convolution_t* op, const int8_t* input, int8_t* output) {
  const int32_t channels = op->output_channels;
  for (int32_t row = 0; row < op->batches * op->output_height; ++row) {
    const int32_t y = row % op->output_height * op->stride_height - op->pad_above;
    const int32_t first_row = nn_larger(0, -y);
    const int8_t* image = input + row / op->output_height * op->input_height * op->input_width * channels;
    for (int32_t column = 0; column < op->output_width; ++column, output += channels) {
      const int32_t x = column * op->stride_width - op->pad_left;
      const int32_t first_column = nn_larger(0, -x);
      const int32_t columns = nn_smaller(op->filter_width, op->input_width - x) - first_column;
      const window_t window = {
          .input = image + ((y + first_row) * op->input_width + x + first_column) * channels,
          .filter = op->filter + (first_row * op->filter_width + first_column) * channels,
          .rows = nn_smaller(op->filter_height, op->input_height - y) - first_row,
          .columns = columns,
          .input_gap = (op->input_width - columns) * channels,
          .filter_gap = (op->filter_width - columns) * channels,
      };
      int32_t channel = 0;
      for (; channel + 4 <= channels; channel += 4) {
        const int32_t* bias = op->bias + channel;
        nn_sums_t sums = {bias[0], bias[1], bias[2], bias[3]};
        four_sums(op, &window, channel, &sums);
        four_outputs(op, channel, &sums, output + channel);
      }
      for (; channel < channels; ++channel) {
        one_output(op, &window, channel, output + channel);
      }
    }
  }
}
