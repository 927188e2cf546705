#include "nn.h"
#include "nn_rows.h"

// The columns of the image, first to end - 1, that the window of an output column sees.
typedef struct {
  int32_t first, end;
} columns_t;

NN_INLINE columns_t columns_of(const nn_pool_t* op, int32_t column) {
  const int32_t x = column * op->stride_width - op->pad_left;
  return (columns_t){nn_larger(x, 0), nn_smaller(x + op->window_width, op->input_width)};
}

// The sum of one channel of a row, `values`, over columns.
NN_INLINE int32_t sum_of(const int8_t* values, int32_t columns, int32_t channels) {
  int32_t sum = 0;
  for (; columns > 0; --columns, values += channels) {
    sum += *values;
  }
  return sum;
}

NN_INLINE int8_t average(const nn_pool_t* op, int32_t sum, int32_t count) {
  return nn_clamp((sum > 0 ? sum + count / 2 : sum - count / 2) / count, op->minimum, op->maximum);
}

void nn_average_pool_row(const nn_pool_t* op, int32_t row, const int8_t* input, int32_t input_rows, int8_t* output) {
  const int32_t channels = op->channels;
  const nn_rows_t rows = nn_rows(input, input_rows, op->input_width * channels, op->input_height,
                                 row * op->stride_height - op->pad_above, op->window_height, 1);
  for (int32_t column = 0; column < op->output_width; ++column) {
    const columns_t seen = columns_of(op, column);
    const int32_t width = seen.end - seen.first, count = width * (rows.end - rows.first);
    for (int32_t channel = 0; channel < channels; ++channel) {
      const int8_t* values = rows.row + seen.first * channels + channel;
      int32_t sum = 0;
      for (int32_t left = rows.end - rows.first; left > 0; --left, values = nn_next_row(&rows, values)) {
        sum += sum_of(values, width, channels);
      }
      *output++ = average(op, sum, count);
    }
  }
}

void nn_average_pool(const nn_pool_t* op, const int8_t* input, int8_t* output) {
  for (int32_t batch = 0; batch < op->batches; ++batch) {
    for (int32_t row = 0; row < op->output_height; ++row) {
      nn_average_pool_row(op, row, input, op->input_height, output);
      output += op->output_width * op->channels;
    }
    input += op->input_height * op->input_width * op->channels;
  }
}

void nn_average_pool_add(const nn_pool_t* op, const int8_t* input_row, int32_t* sums) {
  for (int32_t column = 0; column < op->output_width; ++column) {
    const columns_t seen = columns_of(op, column);
    for (int32_t channel = 0; channel < op->channels; ++channel) {
      const int8_t* values = input_row + seen.first * op->channels + channel;
      *sums++ += sum_of(values, seen.end - seen.first, op->channels);
    }
  }
}

void nn_average_pool_finish(const nn_pool_t* op, const int32_t* sums, int8_t* output) {
  for (int32_t column = 0; column < op->output_width; ++column) {
    const columns_t seen = columns_of(op, column);
    for (int32_t channel = 0; channel < op->channels; ++channel) {
      *output++ = average(op, *sums++, (seen.end - seen.first) * op->input_height);
    }
  }
}
