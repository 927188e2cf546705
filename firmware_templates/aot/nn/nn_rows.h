// Rows of a tensor in a ring: `rows` of them are kept, and row r lies in place r % rows. A whole tensor is a ring too.
#ifndef NN_ROWS_H
#define NN_ROWS_H

#include "nn_fixed_point.h"

// The rows that a window sees: its taps `first` to `end` - 1 lie inside the image, the first of them in `row`, which is
// in `place`. Of the next tap it is `step_bytes` further on, around the ring.
typedef struct {
  const int8_t* row;
  const int8_t* ring_end;
  int32_t first, end, place, step_bytes, ring_bytes;
} nn_rows_t;

// Rows of a window of `taps` rows from row y of an image on, `dilation` rows apart.
NN_INLINE nn_rows_t nn_rows(const int8_t* ring, int32_t rows, int32_t row_bytes, int32_t height, int32_t y,
                            int32_t taps, int32_t dilation) {
  const int32_t first = y < 0 ? (dilation - 1 - y) / dilation : 0;
  const int32_t end = nn_smaller(taps, (height - y + dilation - 1) / dilation);
  const int32_t place = (y + first * dilation) % rows;
  const nn_rows_t seen = {
      .row = ring + place * row_bytes,
      .ring_end = ring + rows * row_bytes,
      .first = first,
      .end = end,
      .place = place,
      .step_bytes = dilation * row_bytes,
      .ring_bytes = rows * row_bytes,
  };
  return seen;
}

// What lies at the same place in the row of the next tap.
NN_INLINE const int8_t* nn_next_row(const nn_rows_t* rows, const int8_t* at) {
  const int8_t* next = at + rows->step_bytes;
  return next >= rows->ring_end ? next - rows->ring_bytes : next;
}

#endif
