// A convolution as CMSIS-NN takes it.
#ifndef NN_CMSIS_NN_H
#define NN_CMSIS_NN_H

#include "arm_nnfunctions.h"
#include "nn.h"

#define NN_DIMS(batches, height, width, channels) {.n = (batches), .h = (height), .w = (width), .c = (channels)}

typedef struct {
  cmsis_nn_dims input, filter, bias, output;
  cmsis_nn_per_channel_quant_params scales;
} nn_cmsis_nn_t;

static inline nn_cmsis_nn_t nn_cmsis_nn(const nn_convolution_t* op) {
  const nn_cmsis_nn_t views = {
      .input = NN_DIMS(op->batches, op->input_height, op->input_width, op->input_channels),
      .filter = NN_DIMS(op->output_channels, op->filter_height, op->filter_width, op->filter_channels),
      .bias = NN_DIMS(1, 1, 1, op->output_channels),
      .output = NN_DIMS(op->batches, op->output_height, op->output_width, op->output_channels),
      // CMSIS-NN does not write there, though the type would let it.
      .scales = {.multiplier = (int32_t*)(uintptr_t)op->multiplier, .shift = (int32_t*)(uintptr_t)op->shift},
  };
  return views;
}

// The fields that cmsis_nn_conv_params and cmsis_nn_dw_conv_params share.
#define NN_CMSIS_NN_PARAMETERS(op)                                         \
  .input_offset = (op)->input_offset, .output_offset = (op)->output_offset, \
  .stride = {.w = (op)->stride_width, .h = (op)->stride_height},           \
  .padding = {.w = (op)->pad_left, .h = (op)->pad_above},                  \
  .dilation = {.w = (op)->dilation_width, .h = (op)->dilation_height},     \
  .activation = {.min = (op)->minimum, .max = (op)->maximum}

#endif
