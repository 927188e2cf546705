#include "nn_cmsis_nn.h"

// Later versions of CMSIS-NN take the dimensions of an upscaling, which there is none of.
#ifdef NN_CMSIS_NN_UPSCALE
#define NN_UPSCALE NULL,
#else
#define NN_UPSCALE
#endif

void nn_conv_2d_cmsis_nn(const nn_convolution_t* op, const int8_t* input, int8_t* output, void* scratch) {
  const cmsis_nn_context context = {.buf = scratch, .size = 0};
  const cmsis_nn_conv_params parameters = {NN_CMSIS_NN_PARAMETERS(op)};
  const nn_cmsis_nn_t views = nn_cmsis_nn(op);
  (void)arm_convolve_s8(&context, &parameters, &views.scales, &views.input, input, &views.filter, op->filter,
           &views.bias, op->bias, NN_UPSCALE &views.output, output);
}
