#include "instruction_sets.hpp"

namespace skv::cpu {

std::string_view to_string(isa set) {
  switch (set) {
    case isa::scalar: return "scalar";
    case isa::portable: return "portable";
    case isa::avx2: return "avx2";
    case isa::avx512: return "avx512";
  }
  return "unknown";
}

bool is_available(isa set) {
#if defined(SKV_HAVE_X86_ISAS)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                    __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
  if (set == isa::avx2) return avx2;
  if (set == isa::avx512)
    return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512vbmi") &&
           __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512vnni");
#endif
  return set == isa::scalar || set == isa::portable;
}

isa best_isa() {
  static const isa best = is_available(isa::avx512) ? isa::avx512
                          : is_available(isa::avx2) ? isa::avx2
                                                    : isa::portable;
  return best;
}

}  // namespace skv::cpu
