#include <string.h>

#include "nn.h"

void nn_copy(const nn_copy_t* op, const void* input, void* output) {
  const char* from = input;
  char* to = output;
  if (op->fills) {
    memset(to, op->fill, (size_t)op->output_bytes);
  }
  const int32_t* size = op->size;
  const int32_t* stride = op->output_stride;
  for (int32_t a = 0; a < size[0]; ++a) {
    for (int32_t b = 0; b < size[1]; ++b) {
      for (int32_t c = 0; c < size[2]; ++c) {
        for (int32_t d = 0; d < size[3]; ++d) {
          for (int32_t e = 0; e < size[4]; ++e) {
            int32_t at = op->output_first + a * stride[0] + b * stride[1] + c * stride[2] + d * stride[3] + e * stride[4];
            for (int32_t f = 0; f < size[5]; ++f, at += stride[5], from += op->item_bytes) {
              memcpy(to + at, from, (size_t)op->item_bytes);
            }
          }
        }
      }
    }
  }
}
