#include "esp/ecn.h"

namespace merlon::esp {

std::optional<Ecn> decapsulated_ecn(Ecn inner, Ecn outer) {
  switch (inner) {
    case Ecn::kNotEct:
      // A mark on a packet whose sender would not understand it: only a drop tells him about the congestion.
      if (outer == Ecn::kCe) return std::nullopt;
      return Ecn::kNotEct;
    case Ecn::kEct0:
      return outer == Ecn::kNotEct ? Ecn::kEct0 : outer;
    case Ecn::kEct1:
      return outer == Ecn::kCe ? Ecn::kCe : Ecn::kEct1;
    case Ecn::kCe:
      break;
  }
  return Ecn::kCe;
}

}  // namespace merlon::esp
