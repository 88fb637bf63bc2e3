#include "esp/ecn.h"

#include <gmock/gmock.h>

namespace merlon::esp {
namespace {

// RFC 6040 figure 4, row by row. Columns: Not-ECT, ECT(0), ECT(1), CE outside.
TEST(Ecn, DecapsulationFollowsFigure4) {
  constexpr std::array kColumns{Ecn::kNotEct, Ecn::kEct0, Ecn::kEct1, Ecn::kCe};
  struct Row {
    Ecn inner;
    std::array<std::optional<Ecn>, 4> leaving;
  };
  const std::array rows{
      Row{Ecn::kNotEct, {Ecn::kNotEct, Ecn::kNotEct, Ecn::kNotEct, std::nullopt}},
      Row{Ecn::kEct0, {Ecn::kEct0, Ecn::kEct0, Ecn::kEct1, Ecn::kCe}},
      Row{Ecn::kEct1, {Ecn::kEct1, Ecn::kEct1, Ecn::kEct1, Ecn::kCe}},
      Row{Ecn::kCe, {Ecn::kCe, Ecn::kCe, Ecn::kCe, Ecn::kCe}},
  };
  for (const Row& row : rows)
    for (std::size_t i = 0; i < kColumns.size(); ++i)
      EXPECT_EQ(decapsulated_ecn(row.inner, kColumns[i]), row.leaving[i]);
}

TEST(Ecn, EncapsulationCopies) {
  EXPECT_EQ(outer_tos(0xb9, true), 0xb9);
  EXPECT_EQ(outer_tos(0xb9, false), 0x01);
}

}  // namespace
}  // namespace merlon::esp
