#include <levin/framework/provenance/build_info.h>
#include <levin/framework/provenance/git_state.h>
#include <levin/framework/provenance/host_info.h>

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include <levin/framework/core/version.h>

#include "framework/temporary_folder.h"

// What a run's record says of the build, the machine and the commit of a folder.

namespace levin::provenance_test {

bool run_shell(const std::string& command) {
  return std::system((command + " > /dev/null 2>&1").c_str()) == 0;
}

/// Sets a variable of the environment for as long as it exists.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    ::setenv(name, value.c_str(), 1);
  }
  ~Variable() { before_.empty() ? ::unsetenv(name_) : ::setenv(name_, before_.c_str(), 1); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
  std::string before_;
};

/// A folder with a repository that has one commit of the file a.txt.
class GitFolder {
 public:
  GitFolder() {
    write("one");
    const std::string git = "git -C '" + folder_.string() +
                            "' -c user.name=a -c user.email=a@b -c commit.gpgsign=false ";
    is_made_ = run_shell(git + "init") && run_shell(git + "add a.txt") &&
               run_shell(git + "commit --no-verify -m first");
  }
  bool is_made() const { return is_made_; }
  void write(const std::string& text) const { std::ofstream(folder_ / "a.txt") << text; }
  const std::filesystem::path& path() const { return folder_.path(); }

 private:
  test::TemporaryFolder folder_;
  bool is_made_ = false;
};

TEST(GitState, is_the_commit_of_a_folder_and_says_whether_files_have_changed) {
  const GitFolder folder;
  if (!folder.is_made()) GTEST_SKIP() << "git isn't installed";
  const auto clean = git_state(folder.path());
  ASSERT_TRUE(clean.has_value());
  EXPECT_EQ(clean->commit.size(), 40U);
  EXPECT_FALSE(clean->is_changed);
  folder.write("two");
  const auto changed = git_state(folder.path());
  ASSERT_TRUE(changed.has_value());
  EXPECT_EQ(changed->commit, clean->commit);
  EXPECT_TRUE(changed->is_changed);
  EXPECT_EQ(to_value(changed).at("changed"), Value(true));
  EXPECT_FALSE(std::filesystem::exists(folder.path() / ".git/index.lock"));
}

TEST(GitState, is_that_of_the_folder_whatever_the_environment_says) {
  const GitFolder folder;
  const GitFolder other;
  if (!folder.is_made() || !other.is_made()) GTEST_SKIP() << "git isn't installed";
  other.write("changed");
  const Variable misleading("GIT_DIR", (other.path() / ".git").string());
  const auto state = git_state(folder.path());
  ASSERT_TRUE(state.has_value());
  EXPECT_FALSE(state->is_changed);
}

TEST(GitState, is_nothing_outside_of_a_repository_or_without_git) {
  const test::TemporaryFolder folder;
  const Variable ceiling("GIT_CEILING_DIRECTORIES", "/");
  EXPECT_FALSE(git_state(folder.path()).has_value());
  EXPECT_TRUE(to_value(git_state(folder.path())).is_null());
  const Variable path("PATH", folder.string());
  EXPECT_FALSE(git_state(folder.path()).has_value());
}

TEST(GitState, is_nothing_if_git_does_not_answer_in_time) {
  const test::TemporaryFolder folder;
  std::ofstream(folder / "git") << "#!/bin/sh\nexec sleep 3600\n";
  std::filesystem::permissions(folder / "git", std::filesystem::perms::owner_all);
  const Variable path("PATH", folder.string() + ":/usr/bin:/bin");
  EXPECT_FALSE(git_state(folder.path(), /*seconds=*/0.05).has_value());
}

TEST(BuildInfo, knows_the_version_the_compiler_and_a_commit_if_any) {
  const BuildInfo build = build_info();
  EXPECT_EQ(build.version, kVersion);
  EXPECT_TRUE(build.compiler.starts_with("gcc ") || build.compiler.starts_with("clang "))
      << build.compiler;
  if (build.commit.empty()) {
    EXPECT_TRUE(to_value(build).at("commit").is_null());
  } else {
    EXPECT_EQ(build.commit.find_first_not_of("0123456789abcdef"), std::string::npos)
        << build.commit;
  }
}

TEST(HostInfo, says_what_kind_of_machine_it_is) {
  const HostInfo host = host_info();
  EXPECT_NE(host.system.find("Linux"), std::string::npos) << host.system;
  EXPECT_GE(host.cores, 1);
  EXPECT_GT(host.memory, uint64_t{1} << 20);
}

}  // namespace levin::provenance_test
