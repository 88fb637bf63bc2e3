// docs/configuration.md holds the reference that the schema makes: neither can drift from the other.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "control/config.h"

namespace merlon::control {
namespace {

TEST(ConfigReference, PageHoldsEveryKeyOfTheSchema) {
  std::ifstream page(MERLON_SOURCE_DIR "/docs/configuration.md");
  ASSERT_TRUE(page) << "docs/configuration.md is missing";
  std::ostringstream text;
  text << page.rdbuf();
  EXPECT_NE(text.str().find(configuration_reference()), std::string::npos)
      << "run tools/update-docs: docs/configuration.md does not hold what `merlon check-config --keys` "
         "prints";
}

}  // namespace
}  // namespace merlon::control
