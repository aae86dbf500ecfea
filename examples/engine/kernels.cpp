#include "engine/kernels.hpp"

namespace engine {

namespace scalar {
extern const kernels table;
}
namespace portable {
extern const kernels table;
}
namespace avx2 {
extern const kernels table;
}
namespace avx512 {
extern const kernels table;
}

const kernels& kernels_for(skv::cpu::isa set) {
  switch (set) {
    case skv::cpu::isa::scalar: return scalar::table;
#if defined(SKV_HAVE_X86_ISAS)
    case skv::cpu::isa::avx2: return avx2::table;
    case skv::cpu::isa::avx512: return avx512::table;
#endif
    default: return portable::table;
  }
}

}  // namespace engine
