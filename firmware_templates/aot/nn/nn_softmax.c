#include "nn.h"
#include "nn_fixed_point.h"

// Qm.n: m integer bits, n fractional bits and a sign in 32 bits.
enum { DIFFERENCE_INTEGER_BITS = 5, SUM_INTEGER_BITS = 12 };

// a * b / 2^31, rounded; ties go up. Here the factors have all 32 bits.
static int32_t multiply(int32_t a, int32_t b) {
  return a == INT32_MIN && b == INT32_MIN ? INT32_MAX : (int32_t)(((int64_t)a * b + (INT64_C(1) << 30)) >> 31);
}

static int32_t saturating_shift_left(int32_t x, int32_t bits) {
  const int64_t shifted = (int64_t)x * (INT64_C(1) << bits);
  return shifted > INT32_MAX ? INT32_MAX : shifted < INT32_MIN ? INT32_MIN : (int32_t)shifted;
}

// exp(x) in Q0.31 for x in [-1/4, 0), Q0.31: exp(-1/8) times a Taylor polynomial around -1/8.
static int32_t exp_on_last_quarter(int32_t x) {
  const int32_t exp_of_minus_eighth = 1895147668, third = 715827883;
  const int32_t y = x + (1 << 28);
  const int32_t y2 = multiply(y, y), y3 = multiply(y2, y), y4 = multiply(y2, y2);
  const int32_t cubic_and_quartic = multiply(nn_divide_by_power(y4, 2) + y3, third) + y2;
  return exp_of_minus_eighth + multiply(exp_of_minus_eighth, y + nn_divide_by_power(cubic_and_quartic, 1));
}

// exp(x) in Q0.31 for x <= 0 in Q5.26.
static int32_t exp_of(int32_t x) {
  static const int32_t exp_of_minus_power[] = {  // exp(-2^(i - 2))
      1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
  enum { FRACTION_BITS = 31 - DIFFERENCE_INTEGER_BITS };
  if (x == 0) {
    return INT32_MAX;
  }
  const int32_t quarter = 1 << (FRACTION_BITS - 2);
  const int32_t within = (x & (quarter - 1)) - quarter;
  const int32_t whole = within - x;
  int32_t result = exp_on_last_quarter(within * (1 << DIFFERENCE_INTEGER_BITS));
  for (int32_t i = 0; i < DIFFERENCE_INTEGER_BITS + 2; ++i) {
    if (whole & (quarter << i)) {
      result = multiply(result, exp_of_minus_power[i]);
    }
  }
  return result;
}

// (a + b) / 2, rounded; ties go away from zero.
static int32_t half_sum(int32_t a, int32_t b) {
  const int64_t sum = (int64_t)a + b;
  return (int32_t)((sum + (sum >= 0 ? 1 : -1)) / 2);
}

// 1 / (1 + a) in Q0.31 for a in [0, 1), Q0.31: three Newton-Raphson steps in Q2.29.
static int32_t one_over_one_plus(int32_t a) {
  const int32_t one = 1 << 29;
  const int32_t half_denominator = half_sum(a, INT32_MAX);
  int32_t x = 1515870810 + multiply(half_denominator, -1010580540);  // 48/17 - 32/17 * half_denominator
  for (int32_t i = 0; i < 3; ++i) {
    const int32_t error = one - multiply(half_denominator, x);
    x += saturating_shift_left(multiply(x, error), 2);
  }
  return saturating_shift_left(x, 1);
}

static int32_t leading_zeros(uint32_t x) {
  int32_t zeros = 0;
  for (; x < UINT32_C(1) << 31; x <<= 1) {
    ++zeros;
  }
  return zeros;
}

void nn_softmax(const nn_softmax_t* op, const int8_t* input, int8_t* output) {
  for (int32_t row = 0; row < op->rows; ++row, input += op->depth, output += op->depth) {
    int32_t largest = INT8_MIN;
    for (int32_t i = 0; i < op->depth; ++i) {
      largest = nn_larger(largest, input[i]);
    }
    int32_t sum = 0;
    for (int32_t i = 0; i < op->depth; ++i) {
      const int32_t difference = input[i] - largest;
      if (difference >= op->smallest_difference) {
        sum += nn_divide_by_power(exp_of(multiply(difference * (1 << op->shift), op->multiplier)), SUM_INTEGER_BITS);
      }
    }
    const int32_t headroom = leading_zeros((uint32_t)sum);
    const int32_t reciprocal = one_over_one_plus((int32_t)(((uint32_t)sum << headroom) - (UINT32_C(1) << 31)));
    const int32_t exponent = SUM_INTEGER_BITS - headroom + 31 - 8;
    for (int32_t i = 0; i < op->depth; ++i) {
      const int32_t difference = input[i] - largest;
      int32_t probability = 0;
      if (difference >= op->smallest_difference) {
        const int32_t scaled = exp_of(multiply(difference * (1 << op->shift), op->multiplier));
        probability = nn_divide_by_power(multiply(reciprocal, scaled), exponent);
      }
      output[i] = nn_clamp(probability + INT8_MIN, INT8_MIN, INT8_MAX);
    }
  }
}
