#include "nn_cmsis_nn.h"

void nn_depthwise_cmsis_nn(const nn_convolution_t* op, const int8_t* input, int8_t* output, void* scratch) {
  const cmsis_nn_context context = {.buf = scratch, .size = 0};
  const cmsis_nn_dw_conv_params parameters = {NN_CMSIS_NN_PARAMETERS(op), .ch_mult = 1};
  const nn_cmsis_nn_t views = nn_cmsis_nn(op);
  (void)arm_depthwise_conv_s8_opt(&context, &parameters, &views.scales, &views.input, input, &views.filter, op->filter,
           &views.bias, op->bias, &views.output, output);
}
