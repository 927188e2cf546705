#include "nn_four.h"
#include "nn_rows.h"

#ifdef __ARM_FEATURE_MVE

#include "nn_mve.h"

enum { BLOCK = 16 };

// The sums of sixteen channels as they leave the products: every fourth channel from 0, 2, 1 and 3 on.
typedef struct {
  int32x4_t a, b, c, d;
} sums_t;

// Where the taps of sixteen channels lie; values and weights of the next tap are so many bytes further on.
typedef struct {
  const int8_t* values;
  const int8_t* weights;
  int32_t value_step, weight_step;
} taps_t;

// Loads and products of two taps, added in 16 bits, or of one. Four registers hold the sums, so that four remain, and
// the second value is loaded twice.
#define TWO_TAPS(load_2, load_1)                                                     \
  load_2("q0", "q1") NEXT_TAP "vmullb.s8 q2, q0, q1\n\tvmullt.s8 q0, q0, q1\n\t"     \
  load_2("q1", "q3") "vmullb.s8 q1, q1, q3\n\tvadd.i16 q2, q2, q1\n\t"               \
  load_1("q1") NEXT_TAP "vmullt.s8 q1, q1, q3\n\tvadd.i16 q0, q0, q1\n\t"
#define ONE_TAP(load_2) \
  load_2("q0", "q1") NEXT_TAP "vmullb.s8 q2, q0, q1\n\tvmullt.s8 q0, q0, q1\n\t"
#define NEXT_TAP "add %[x], %[dx]\n\tadd %[w], %[dw]\n\t"

#define ADD_PRODUCTS                                                                          \
  "vmovlb.s16 q1, q2\n\tvadd.i32 %q[a], %q[a], q1\n\tvmovlt.s16 q2, q2\n\tvadd.i32 %q[b], %q[b], q2\n\t" \
  "vmovlb.s16 q1, q0\n\tvadd.i32 %q[c], %q[c], q1\n\tvmovlt.s16 q0, q0\n\tvadd.i32 %q[d], %q[d], q0\n\t"

#define SIXTEEN(value, weight) "vldrb.8 " value ", [%[x]]\n\tvldrb.8 " weight ", [%[w]]\n\t"
#define SIXTEEN_VALUES(value) "vldrb.8 " value ", [%[x]]\n\t"
#define FEWER(value, weight) "vpstt\n\tvldrbt.8 " value ", [%[x]]\n\tvldrbt.8 " weight ", [%[w]]\n\t"
#define FEWER_VALUES(value) "vpst\n\tvldrbt.8 " value ", [%[x]]\n\t"

#define ADD_TAPS(load_2, load_1)                                                              \
  __asm__ volatile("vctp.8 %[lanes]\n\t"                                                     \
                   "wls lr, %[twos], 2f\n\t1: " TWO_TAPS(load_2, load_1) ADD_PRODUCTS "le lr, 1b\n\t" \
                   "2: wls lr, %[ones], 4f\n\t3: " ONE_TAP(load_2) ADD_PRODUCTS "le lr, 3b\n\t4:"     \
                   : [a] "+w"(sums.a), [b] "+w"(sums.b), [c] "+w"(sums.c), [d] "+w"(sums.d), [x] "+r"(values),  \
                     [w] "+r"(weights)                                                  \
                   : [twos] "r"(twos), [ones] "r"(count - 2 * twos), [dx] "r"(taps->value_step), \
                     [dw] "r"(taps->weight_step), [lanes] "r"(lanes)                          \
                   : "q0", "q1", "q2", "q3", "lr", "memory", "cc", "p0")

// Adds taps and moves on to the weights behind them. Two products fit 16 bits together unless a weight is -128.
NN_INLINE sums_t add_taps(sums_t sums, taps_t* taps, int32_t count, int32_t simple, int32_t lanes) {
  const int8_t *values = taps->values, *weights = taps->weights;
  const int32_t twos = simple ? count / 2 : 0;
  if (lanes >= BLOCK) {
    ADD_TAPS(SIXTEEN, SIXTEEN_VALUES);
  } else {
    ADD_TAPS(FEWER, FEWER_VALUES);
  }
  taps->weights = weights;
  return sums;
}

// The biases, multipliers and shifts of sixteen channels.
typedef struct {
  const int32_t *bias, *multiplier, *shift;
} scales_t;

NN_INLINE sums_t every_fourth(const int32_t* from) {
  const int32x4x4_t numbers = vld4q_s32(from);
  return (sums_t){numbers.val[0], numbers.val[2], numbers.val[1], numbers.val[3]};
}

static NN_APART sums_t scale_any(sums_t sums, const scales_t* scales) {
  const sums_t by = every_fourth(scales->multiplier), shift = every_fourth(scales->shift);
  return (sums_t){nn_scale_four(sums.a, by.a, shift.a), nn_scale_four(sums.b, by.b, shift.b),
                  nn_scale_four(sums.c, by.c, shift.c), nn_scale_four(sums.d, by.d, shift.d)};
}

NN_INLINE sums_t scale_simple(sums_t sums, const scales_t* scales) {
  const sums_t by = every_fourth(scales->multiplier);
  sums = (sums_t){nn_high_four(sums.a, by.a), nn_high_four(sums.b, by.b), nn_high_four(sums.c, by.c),
                  nn_high_four(sums.d, by.d)};
  const sums_t shift = every_fourth(scales->shift);
  return (sums_t){vrshlq_s32(sums.a, shift.a), vrshlq_s32(sums.b, shift.b), vrshlq_s32(sums.c, shift.c),
                  vrshlq_s32(sums.d, shift.d)};
}

NN_INLINE void store_outputs(const nn_convolution_t* op, sums_t scaled, int32_t lanes, int8_t* output) {
  const int16x8_t any = vuninitializedq_s16();
  int16x8_t even = vqmovntq_s32(vqmovnbq_s32(any, scaled.a), scaled.b);
  int16x8_t odd = vqmovntq_s32(vqmovnbq_s32(any, scaled.c), scaled.d);
  even = vqaddq_n_s16(even, op->output_offset);
  odd = vqaddq_n_s16(odd, op->output_offset);
  int8x16_t outputs = vqmovntq_s16(vqmovnbq_s16(vuninitializedq_s8(), even), odd);
  outputs = vmaxq_s8(outputs, vdupq_n_s8((int8_t)op->minimum));
  outputs = vminq_s8(outputs, vdupq_n_s8((int8_t)op->maximum));
  vstrbq_p_s8(output, outputs, vctp8q((uint32_t)lanes));
}

// The rows that windows of one output row see: a ring of `rows`, of which the first window row is number y.
typedef struct {
  const int8_t* input;
  int32_t rows, y;
} band_t;

// The sums of a window that lies partly outside the image, where every tap has the value that counts as 0.
static NN_APART sums_t border_sums(const nn_convolution_t* op, const band_t* band, int32_t x, int32_t channel,
                                   int32_t lanes, sums_t sums) {
  const int32_t channels = op->output_channels, width = op->filter_width, row_bytes = op->input_width * channels;
  const int32_t before = nn_smaller(nn_larger(0, -x), width);
  const int32_t inside = nn_larger(0, nn_smaller(width, op->input_width - x) - before);
  int8_t outside[BLOCK];
  vstrbq_s8(outside, vdupq_n_s8((int8_t)op->padding));
  taps_t taps = {.weights = op->filter + channel, .weight_step = channels};
  for (int32_t y = band->y; y < band->y + op->filter_height; ++y) {
    const int within = y >= 0 && y < op->input_height;
    const int32_t ends[3] = {within ? before : width, within ? before + inside : width, width};
    for (int32_t part = 0, column = 0; column < width; column = ends[part++]) {
      const int32_t count = ends[part] - column;
      if (count > 0) {
        taps.values = outside;
        if (part == 1) {
          taps.values = band->input + y % band->rows * row_bytes + (x + before) * channels + channel;
        }
        taps.value_step = part == 1 ? channels : 0;
        sums = add_taps(sums, &taps, count, op->simple, lanes);
      }
    }
  }
  return sums;
}

static void some_channels(const nn_convolution_t* op, const band_t* band, int32_t channel, int32_t lanes,
                          const scales_t* scales, int8_t* output) {
  const int32_t channels = op->output_channels, width = op->filter_width, row_bytes = op->input_width * channels;
  const int whole = band->y >= 0 && band->y + op->filter_height <= op->input_height;
  const int8_t* const ring_end = band->input + band->rows * row_bytes;
  const int8_t* const first_row = whole ? band->input + band->y % band->rows * row_bytes : NULL;
  for (int32_t column = 0; column < op->output_width; ++column, output += channels) {
    const int32_t x = column * op->stride_width - op->pad_left;
    sums_t sums = every_fourth(scales->bias);
    if (whole && x >= 0 && x + width <= op->input_width) {
      taps_t taps = {NULL, op->filter + channel, channels, channels};
      const int8_t* row = first_row;
      for (int32_t left = op->filter_height; left > 0; --left) {
        taps.values = row + x * channels + channel;
        sums = add_taps(sums, &taps, width, op->simple, lanes);
        row += row_bytes;
        row = row == ring_end ? band->input : row;
      }
    } else {
      sums = border_sums(op, band, x, channel, lanes, sums);
    }
    store_outputs(op, op->simple ? scale_simple(sums, scales) : scale_any(sums, scales), lanes, output + channel);
  }
}

void nn_depthwise_row(const nn_convolution_t* op, int32_t row, const int8_t* input, int32_t input_rows,
                      int8_t* output) {
  const band_t band = {input, input_rows, row * op->stride_height - op->pad_above};
  const int32_t channels = op->output_channels;
  if (channels < BLOCK) {
    int32_t padded[3][BLOCK] = {{0}};
    memcpy(padded[0], op->bias, (size_t)channels * sizeof(int32_t));
    memcpy(padded[1], op->multiplier, (size_t)channels * sizeof(int32_t));
    memcpy(padded[2], op->shift, (size_t)channels * sizeof(int32_t));
    const scales_t scales = {padded[0], padded[1], padded[2]};
    some_channels(op, &band, 0, channels, &scales, output);
    return;
  }
  // The last channels go together with some of those before them.
  for (int32_t next = 0; next < channels; next += BLOCK) {
    const int32_t channel = nn_smaller(next, channels - BLOCK);
    const scales_t scales = {op->bias + channel, op->multiplier + channel, op->shift + channel};
    some_channels(op, &band, channel, BLOCK, &scales, output);
  }
}

#else

// The part of the window that lies inside the image, never empty. Behind `rows` the ring of the input ends, and
// `rows_left` follow from its beginning on, which is `ring_bytes` back. A gap leads from the end of a row to the next.
typedef struct {
  const int8_t* input;
  const int8_t* filter;
  int32_t rows, rows_left, columns, input_gap, filter_row_bytes, ring_bytes;
} window_t;

// Apart from the outputs, as the compiler would run out of registers in the innermost loop.
static NN_APART void four_sums(const nn_convolution_t* op, const window_t* window, int32_t channel, nn_sums_t* sums) {
  const int32_t channels = op->output_channels, offset = op->input_offset;
  nn_sums_t summed = *sums;
  const int8_t* values = window->input + channel;
  const int8_t* filter = window->filter + channel;
  int32_t rows = window->rows, rows_left = window->rows_left;
  for (;;) {
    do {
      const int8_t* weights = filter;
      int32_t columns = window->columns;
      do {
        summed = nn_four_channels(summed, &values, offset, &weights, channels);
      } while (--columns > 0);
      values += window->input_gap;
      filter += window->filter_row_bytes;
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

static void one_output(const nn_convolution_t* op, const window_t* window, int32_t channel, int8_t* output) {
  const int32_t channels = op->output_channels;
  const int8_t* values = window->input + channel;
  const int8_t* filter = window->filter + channel;
  int32_t sum = op->bias[channel];
  for (int32_t row = window->rows; row > -window->rows_left; --row) {
    values -= row == 0 ? window->ring_bytes : 0;
    for (int32_t at = 0; at < window->columns * channels; at += channels, values += channels) {
      sum += (*values + op->input_offset) * filter[at];
    }
    values += window->input_gap;
    filter += window->filter_row_bytes;
  }
  nn_store_one(nn_output(sum, op->multiplier[channel], op->shift[channel], op->output_offset), nn_range(op), output);
}

void nn_depthwise_row(const nn_convolution_t* op, int32_t row, const int8_t* input, int32_t input_rows,
                      int8_t* output) {
  const int32_t channels = op->output_channels, row_bytes = op->input_width * channels;
  const nn_rows_t seen = nn_rows(input, input_rows, row_bytes, op->input_height,
                                 row * op->stride_height - op->pad_above, op->filter_height, 1);
  const int32_t rows = seen.end - seen.first, rows_before_end = nn_smaller(rows, input_rows - seen.place);
  const int32_t filter_row_bytes = op->filter_width * channels;
  const int8_t* filter = op->filter + seen.first * filter_row_bytes;
  window_t window = {
      .rows = rows_before_end,
      .rows_left = rows - rows_before_end,
      .filter_row_bytes = filter_row_bytes,
      .ring_bytes = seen.ring_bytes,
  };
  for (int32_t column = 0; column < op->output_width; ++column, output += channels) {
    const int32_t x = column * op->stride_width - op->pad_left;
    const int32_t first_column = nn_larger(0, -x);
    window.input = seen.row + (x + first_column) * channels;
    window.filter = filter + first_column * channels;
    window.columns = nn_smaller(op->filter_width, op->input_width - x) - first_column;
    window.input_gap = row_bytes - window.columns * channels;
    int32_t channel = 0;
    for (; channel + 4 <= channels; channel += 4) {
      const int32_t* bias = op->bias + channel;
      nn_sums_t sums = {bias[0], bias[1], bias[2], bias[3]};
      four_sums(op, &window, channel, &sums);
      nn_store_sums(op, &sums, op->multiplier + channel, op->shift + channel, output + channel);
    }
    for (; channel < channels; ++channel) {
      one_output(op, &window, channel, output + channel);
    }
  }
}

#endif

void nn_depthwise(const nn_convolution_t* op, const int8_t* input, int8_t* output) {
  for (int32_t batch = 0; batch < op->batches; ++batch) {
    for (int32_t row = 0; row < op->output_height; ++row) {
      nn_depthwise_row(op, row, input, op->input_height, output);
      output += op->output_width * op->output_channels;
    }
    input += op->input_height * op->input_width * op->output_channels;
  }
}
