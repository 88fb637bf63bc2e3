// Files: merlon.toml and conf.d/, and who may read them.
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "control/restart.h"
#include "control/test_support.h"

namespace merlon::control {
namespace {

using namespace test;
using testing::ElementsAre;
using testing::HasSubstr;
namespace fs = std::filesystem;

class LoadConfig : public testing::Test {
 protected:
  LoadConfig() {
    std::string name = (fs::temp_directory_path() / "merlon-config-XXXXXX").string();
    folder_ = mkdtemp(name.data());
    fs::create_directory(folder_ / "conf.d");
  }
  ~LoadConfig() override { fs::remove_all(folder_); }

  void write(const std::string& name, const std::string& text, mode_t mode = 0600) {
    std::ofstream(folder_ / name) << text;
    ASSERT_EQ(chmod((folder_ / name).c_str(), mode), 0);
  }
  [[nodiscard]] LoadedConfig load() const { return load_config((folder_ / "merlon.toml").string()); }

  static std::string connection(const std::string& name) {
    std::string text = kGood;
    return text.replace(text.find("paris"), 5, name);
  }

  fs::path folder_;
};

TEST_F(LoadConfig, MainFileThenConfDInTheOrderOfNames) {
  write("merlon.toml", connection("main"));
  write("conf.d/20-b.toml", connection("b"));
  write("conf.d/10-z.toml", connection("z"));
  write("conf.d/not-read.toml.disabled", "this is no TOML");
  write("conf.d/README", "neither is this");
  const LoadedConfig loaded = load();
  ASSERT_TRUE(loaded.config) << all(loaded);
  std::vector<std::string> names;
  for (const auto& found : loaded.config->connections) names.push_back(found->name);
  EXPECT_THAT(names, ElementsAre("main", "z", "b"));
  EXPECT_EQ(loaded.config->connections[1]->source, (folder_ / "conf.d/10-z.toml").string() + ":1");
}

TEST_F(LoadConfig, WithoutConfD) {
  fs::remove_all(folder_ / "conf.d");
  write("merlon.toml", kGood);
  EXPECT_TRUE(load().config);
}

TEST_F(LoadConfig, PskIsTakenOnlyFromAPrivateFile) {
  for (const mode_t mode : {0644U, 0640U, 0604U, 0660U}) {
    write("merlon.toml", kGood, mode);
    const LoadedConfig loaded = load();
    EXPECT_FALSE(loaded.config) << std::oct << mode;
    EXPECT_THAT(all(loaded),
                HasSubstr(":5:7: error: psk: this file holds a pre-shared key but others can read it"));
  }
  write("merlon.toml", "# nothing secret here\n", 0644);
  write("conf.d/paris.toml", kGood, 0600);
  EXPECT_TRUE(load().config);
}

TEST_F(LoadConfig, WhatCannotBeReadIsAnErrorOfTheFile) {
  LoadedConfig loaded = load();
  EXPECT_FALSE(loaded.config);
  EXPECT_THAT(all(loaded), HasSubstr("merlon.toml: error: cannot read it: No such file or directory"));
  write("merlon.toml", "");
  fs::create_symlink("/nonexistent/target", folder_ / "conf.d/dangling.toml");
  fs::create_directory(folder_ / "conf.d/folder.toml");
  loaded = load();
  EXPECT_FALSE(loaded.config);
  EXPECT_EQ(errors(loaded).size(), 2U) << all(loaded);
  EXPECT_THAT(all(loaded), HasSubstr("conf.d/dangling.toml: error: cannot read it"));
  EXPECT_THAT(all(loaded), HasSubstr("conf.d/folder.toml: error: cannot read it: not a regular file"));
}

TEST_F(LoadConfig, ConfDThatIsNoFolderIsAnError) {
  fs::remove(folder_ / "conf.d");
  write("conf.d", "x");
  write("merlon.toml", kGood);
  EXPECT_THAT(all(load()), HasSubstr("conf.d: error: cannot list it"));
}

TEST(NeedsRestart, NamesWhatARunningDaemonCannotChange) {
  const DaemonConfig running;
  EXPECT_TRUE(needs_restart(running, running).empty());
  DaemonConfig wanted;
  wanted.log_level = "debug";
  wanted.ca_files = {"a"};
  wanted.guard = false;
  EXPECT_TRUE(needs_restart(running, wanted).empty());
  wanted.ike_port = 501;
  wanted.interface = "tun1";
  EXPECT_THAT(needs_restart(running, wanted), testing::UnorderedElementsAre("interface", "ike_port"));
}

}  // namespace
}  // namespace merlon::control
