#include <string.h>

#include "nn_four.h"

enum { CHANNELS = 4 };

// The part of a window that lies inside the image, in a ring of rows: behind `rows` it ends, and `rows_left` follow from
// its beginning on, which is `ring_bytes` back. A gap leads from the end of a row to the next.
typedef struct {
  const int8_t* values;
  const int8_t* weights;
  int32_t rows, rows_left, columns, gap, weights_gap, ring_bytes;
} window_t;

// Copies `items` runs of `bytes` each, so far apart as the steps say.
static NN_APART void copy(int8_t* to, int32_t to_step, const int8_t* from, int32_t from_step, int32_t items,
                          int32_t bytes) {
  if (bytes == CHANNELS) {  // a size that the compiler knows needs no call
    for (; items > 0; --items, to += to_step, from += from_step) {
      memcpy(to, from, CHANNELS);
    }
  }
  for (; items > 0; --items, to += to_step, from += from_step) {
    memcpy(to, from, (size_t)bytes);
  }
}

// Apart from the outputs, as the compiler would run out of registers in the innermost loop.
static NN_APART void add_window(const window_t* window, int32_t offset, nn_sums_t* sums) {
  nn_sums_t summed = *sums;
  const int8_t *values = window->values, *weights = window->weights;
  int32_t rows = window->rows, rows_left = window->rows_left;
  for (;;) {
    do {
      int32_t columns = window->columns;
      do {
        summed = nn_four_channels(summed, &values, offset, &weights, CHANNELS);
      } while (--columns > 0);
      values += window->gap;
      weights += window->weights_gap;
    } while (--rows > 0);
    if (rows_left == 0) {
      break;
    }
    values -= window->ring_bytes;
    rows = rows_left;
    rows_left = 0;
  }
  *sums = summed;
}

// Four channels at a time: what their rows hold lies in a ring when the outputs are written over them. In the scratch are
// the weights of these channels and the ring.
void nn_depthwise_over_input(const nn_convolution_t* op, const int8_t* input, int8_t* output, void* scratch) {
  const int32_t channels = op->output_channels, columns = op->input_width, height = op->input_height;
  const int32_t taps = op->filter_height * op->filter_width, kept = nn_smaller(op->filter_height, height);
  const int32_t row_bytes = columns * CHANNELS;
  int8_t* const filter = scratch;
  int8_t* const ring = filter + taps * CHANNELS;
  for (int32_t channel = 0; channel < channels; channel += CHANNELS) {
    const int32_t few = nn_smaller(CHANNELS, channels - channel);
    nn_sums_t bias = {0};
    int32_t multiplier[CHANNELS] = {0}, shift[CHANNELS] = {0};
    memcpy(&bias, op->bias + channel, (size_t)few * sizeof(int32_t));
    memcpy(multiplier, op->multiplier + channel, (size_t)few * sizeof(int32_t));
    memcpy(shift, op->shift + channel, (size_t)few * sizeof(int32_t));
    copy(filter, CHANNELS, op->filter + channel, channels, taps, few);
    for (int32_t row = 0, there = 0; row < height; ++row) {
      const int32_t above = row - op->pad_above, first = nn_larger(0, above);
      const int32_t end = nn_smaller(above + op->filter_height, height), place = first % kept;
      for (; there < end; ++there) {
        copy(ring + there % kept * row_bytes, CHANNELS, input + there * columns * channels + channel, channels, columns,
             few);
      }
      window_t window = {.rows = nn_smaller(end - first, kept - place), .ring_bytes = kept * row_bytes};
      window.rows_left = end - first - window.rows;
      int8_t* to = output + row * columns * channels + channel;
      for (int32_t column = 0; column < columns; ++column, to += channels) {
        const int32_t before = column - op->pad_left;
        // Between two windows that lie inside the image only their place differs.
        if (window.columns == op->filter_width && before + op->filter_width <= columns) {
          window.values += CHANNELS;
        } else {
          const int32_t left = nn_larger(0, before);
          window.columns = nn_smaller(before + op->filter_width, columns) - left;
          window.values = ring + place * row_bytes + left * CHANNELS;
          window.weights = filter + ((first - above) * op->filter_width + left - before) * CHANNELS;
          window.gap = row_bytes - window.columns * CHANNELS;
          window.weights_gap = (op->filter_width - window.columns) * CHANNELS;
        }
        nn_sums_t sums = bias;
        add_window(&window, op->input_offset, &sums);
        if (few == CHANNELS) {
          nn_store_sums(op, &sums, multiplier, shift, to);
        } else {
          int8_t made[CHANNELS];
          nn_store_sums(op, &sums, multiplier, shift, made);
          copy(to, few, made, few, 1, few);
        }
      }
    }
  }
}
