// The kernels that a generated network calls, int8 throughout, bit-exact with LiteRT's reference kernels.
// Tensors are NHWC and dense. Of the sources beside this header only those that a network uses are built.
#ifndef NN_H
#define NN_H

#include <stdint.h>

// Convolutions of every kind. Of a depthwise convolution, output channel c reads input channel
// c / (output_channels / input_channels). A filter is [output, height, width, filter_channels], of a
// depthwise convolution [height, width, output]. An input channel counts as value + input_offset; `padding` is the value that counts as 0.
typedef struct {
  const int8_t* filter;
  const int32_t* bias;
  const int32_t* multiplier;
  const int32_t* shift;
  int16_t batches, input_height, input_width, input_channels;
  int16_t output_height, output_width, output_channels;
  int16_t filter_height, filter_width, filter_channels;
  int16_t stride_height, stride_width, dilation_height, dilation_width;
  int16_t pad_above, pad_left;
  int16_t input_offset, padding, output_offset, minimum, maximum;
  int16_t simple;  // with MVE: no weight is -128 and every shift is to the right
} nn_convolution_t;

// `multiplier` has one entry an output, or one for all of them when `per_output` is 0; the real factor is
// multiplier / 2^shift. The bias holds what the input offset adds.
typedef struct {
  const int8_t* filter;
  const int32_t* bias;
  const int64_t* multiplier;
  const int32_t* shift;
  int32_t rows, depth, outputs, per_output;
  int16_t filter_offset, output_offset, minimum, maximum;
} nn_fully_connected_t;

// Element-wise ops walk four nested dimensions; a stride of 0 repeats an operand.
enum { NN_BROADCAST_RANK = 4 };
typedef struct {
  int32_t size[NN_BROADCAST_RANK], stride_1[NN_BROADCAST_RANK], stride_2[NN_BROADCAST_RANK];
} nn_broadcast_t;

typedef struct {
  nn_broadcast_t shape;
  int32_t multiplier_1, shift_1, multiplier_2, shift_2, multiplier, shift;
  int16_t offset_1, offset_2, output_offset, minimum, maximum;
  int16_t sign_2;  // 1 adds, -1 subtracts
} nn_add_t;

typedef struct {
  nn_broadcast_t shape;
  int32_t multiplier, shift;
  int16_t offset_1, offset_2, output_offset, minimum, maximum;
} nn_mul_t;

// A sum over the reduced dimensions for each combination of the kept ones; strides are those of the input.
enum { NN_REDUCE_RANK = 3 };
typedef struct {
  int32_t kept[NN_REDUCE_RANK], kept_stride[NN_REDUCE_RANK];
  int32_t reduced[NN_REDUCE_RANK], reduced_stride[NN_REDUCE_RANK];
  int32_t sum_offset, multiplier, shift, output_offset;
} nn_reduce_t;

typedef struct {
  int32_t kept[NN_REDUCE_RANK], kept_stride[NN_REDUCE_RANK];
  int32_t reduced[NN_REDUCE_RANK], reduced_stride[NN_REDUCE_RANK];
} nn_reduce_max_t;

typedef struct {
  int16_t batches, input_height, input_width, channels, output_height, output_width;
  int16_t window_height, window_width, stride_height, stride_width, pad_above, pad_left;
  int16_t minimum, maximum;
} nn_pool_t;

typedef struct {
  int32_t rows, depth, multiplier, shift, smallest_difference;
} nn_softmax_t;

// Copies elements of `item_bytes` each from a dense input to strided places in the output.
enum { NN_COPY_RANK = 6 };
typedef struct {
  int32_t size[NN_COPY_RANK], output_stride[NN_COPY_RANK];
  int32_t output_first, output_bytes, item_bytes;
  int16_t fill, fills;  // what the output holds elsewhere, if it does not come from the input alone
} nn_copy_t;

typedef struct {
  int32_t items;
  float scale;
  int32_t zero_point;
} nn_quantize_t;

// One group of channels and no dilation, and as many input as output channels.
void nn_conv_2d(const nn_convolution_t* op, const int8_t* input, int8_t* output, void* scratch);
void nn_conv_2d_1x1(const nn_convolution_t* op, const int8_t* input, int8_t* output);
void nn_depthwise(const nn_convolution_t* op, const int8_t* input, int8_t* output);
// Of stride 1, with an output as large as the input, which may lie in the same place.
void nn_depthwise_over_input(const nn_convolution_t* op, const int8_t* input, int8_t* output, void* scratch);

// Any.
void nn_conv_2d_any(const nn_convolution_t* op, const int8_t* input, int8_t* output);
void nn_depthwise_any(const nn_convolution_t* op, const int8_t* input, int8_t* output);

void nn_fully_connected(const nn_fully_connected_t* op, const int8_t* input, int8_t* output);
void nn_add(const nn_add_t* op, const int8_t* input_1, const int8_t* input_2, int8_t* output);
void nn_mul(const nn_mul_t* op, const int8_t* input_1, const int8_t* input_2, int8_t* output);
void nn_reduce(const nn_reduce_t* op, const int8_t* input, int8_t* output);
void nn_reduce_max(const nn_reduce_max_t* op, const int8_t* input, int8_t* output);
void nn_average_pool(const nn_pool_t* op, const int8_t* input, int8_t* output);
void nn_max_pool(const nn_pool_t* op, const int8_t* input, int8_t* output);
void nn_softmax(const nn_softmax_t* op, const int8_t* input, int8_t* output);
void nn_lookup(const int8_t* table, int32_t items, const int8_t* input, int8_t* output);
void nn_copy(const nn_copy_t* op, const void* input, void* output);
void nn_quantize(const nn_quantize_t* op, const float* input, int8_t* output);
void nn_dequantize(const nn_quantize_t* op, const int8_t* input, float* output);

// The same row by row: output row `row` of one image, from an input of which a ring is left: its row r lies in place
// r % input_rows of `input`. All rows that the window reaches must be there, those outside the image apart.
void nn_conv_2d_row(const nn_convolution_t* op, int32_t row, const int8_t* input, int32_t input_rows, int8_t* output,
                    void* scratch);
void nn_conv_2d_any_row(const nn_convolution_t* op, int32_t row, const int8_t* input, int32_t input_rows,
                        int8_t* output);
void nn_depthwise_row(const nn_convolution_t* op, int32_t row, const int8_t* input, int32_t input_rows,
                      int8_t* output);
void nn_depthwise_any_row(const nn_convolution_t* op, int32_t row, const int8_t* input, int32_t input_rows,
                          int8_t* output);
void nn_average_pool_row(const nn_pool_t* op, int32_t row, const int8_t* input, int32_t input_rows, int8_t* output);
void nn_max_pool_row(const nn_pool_t* op, int32_t row, const int8_t* input, int32_t input_rows, int8_t* output);

// Pools whose window is as high as the image take one input row after another, in any order. Sums begin at 0, one for
// each output; the outputs of a maximum begin at -128. Of a reduction, kept and reduced dimensions are those of one row.
void nn_average_pool_add(const nn_pool_t* op, const int8_t* input_row, int32_t* sums);
void nn_average_pool_finish(const nn_pool_t* op, const int32_t* sums, int8_t* output);
void nn_reduce_add(const nn_reduce_t* op, const int8_t* input_row, int32_t* sums);
void nn_reduce_finish(const nn_reduce_t* op, const int32_t* sums, int8_t* output);
void nn_reduce_max_add(const nn_reduce_max_t* op, const int8_t* input_row, int8_t* output);

#endif
