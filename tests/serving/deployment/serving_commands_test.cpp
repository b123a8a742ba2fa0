#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "architecture/page_tables.h"
#include "framework/free_port.h"
#include "framework/python.h"
#include "framework/temporary_folder.h"

// Every block of commands in docs/serving.md is run, in the order of the page and in one folder,
// and its answers are those that the page shows.

namespace levin::serving_commands_test {
namespace {

using nlohmann::json;

struct Block {
  std::string language;
  std::string text;
};

std::vector<Block> blocks_of(const std::string& page) {
  std::vector<Block> blocks;
  std::istringstream lines(page);
  bool is_within = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("```", 0) == 0) {
      is_within = !is_within;
      if (is_within) blocks.push_back({line.substr(3), {}});
    } else if (is_within) {
      blocks.back().text += line + "\n";
    }
  }
  return blocks;
}

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != text.npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
}

constexpr double kTolerance = 0.01;  // the page shows rounded numbers

/// Whether JSON has the members that the page shows, with numbers that are about the same.
bool is_like(const json& shown, const json& got) {
  if (shown.is_number_float()) {
    return got.is_number() && std::abs(shown.get<double>() - got.get<double>()) <= kTolerance;
  }
  if (shown.is_array() || shown.is_object()) {
    if (shown.type() != got.type() || shown.size() != got.size()) return false;
    for (const auto& [key, value] : shown.items()) {
      if (shown.is_object() && !got.contains(key)) return false;
      const json& other = shown.is_object() ? got.at(key) : got.at(std::stoul(key));
      if (!is_like(value, other)) return false;
    }
    return true;
  }
  return shown == got;
}

/// Whether one of the JSON objects in an output is like the one that the page shows.
bool has_json(const std::string& output, const json& shown) {
  for (size_t at = 0; (at = output.find('{', at)) != output.npos; ++at) {
    std::istringstream rest(output.substr(at));
    json got;
    try {
      rest >> got;
    } catch (const json::parse_error&) {
      continue;
    }
    if (is_like(shown, got)) return true;
  }
  return false;
}

bool is_cell_like(const std::string& shown, const std::string& got) {
  if (shown.find('.') == shown.npos) return shown == got;
  char* end = nullptr;
  const double wanted = std::strtod(shown.c_str(), &end);
  return *end == '\0' ? std::abs(wanted - std::atof(got.c_str())) <= kTolerance : shown == got;
}

/// Whether the lines of an output are those that the page shows, cell by cell.
bool has_lines(const std::string& output, const std::string& shown) {
  const auto wanted = page_tables::split(page_tables::trimmed(shown), '\n');
  const auto got = page_tables::split(page_tables::trimmed(output), '\n');
  if (wanted.size() != got.size()) return false;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const auto cells = page_tables::split(wanted[i], ',');
    const auto others = page_tables::split(got[i], ',');
    if (cells.size() != others.size()) return false;
    for (size_t c = 0; c < cells.size(); ++c) {
      if (!is_cell_like(cells[c], others[c])) return false;
    }
  }
  return true;
}

bool is_as_shown(const Block& shown, const std::string& output) {
  if (shown.language == "json") return has_json(output, json::parse(shown.text));
  return shown.language != "text" || has_lines(output, shown.text);
}

/// Runs a script of bash in a folder. What it leaves in the background ends with it.
int run_script(const std::string& folder, const std::string& name) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::chdir(folder.c_str()) != 0) ::_exit(126);
    ::execlp("bash", "bash", name.c_str(), static_cast<char*>(nullptr));
    ::_exit(127);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool is_installed(const std::string& program) {
  return std::system(("command -v " + program + " > /dev/null 2>&1").c_str()) == 0;  // NOLINT
}

class ServingPage : public ::testing::Test {
 protected:
  /// The blocks that are run, with what they use in place of what the page says.
  std::string script_of(const std::vector<Block>& blocks) const {
    std::string script =
        "set -eu -o pipefail\n"
        "trap 'exit 1' TERM\n"
        "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n"
        "export PATH=\"" LEVIN_BINARY_DIR
        "/bin:$PATH\"\n"
        "ln -s \"" LEVIN_SOURCE_DIR "/examples\" examples\n";
    for (size_t i = 0; i < blocks.size(); ++i) {
      const std::string number = std::to_string(i);
      if (blocks[i].language == "sh") {
        script += "{\n" + blocks[i].text + "} > out." + number + " 2> err." + number + "\n";
      } else if (blocks[i].language == "python") {
        // Status 77: it lacks a package, and shows nothing.
        std::ofstream(folder_ / ("block" + number + ".py"))
            << "try:\n    import tritonclient.http\nexcept ImportError:\n    raise SystemExit(77)\n"
            << with_ports(blocks[i].text);
        script += "\"" + test::python() + "\" block" + number + ".py > out." + number + " 2> err." +
                  number + " || { [ $? = 77 ] && rm out." + number + "; }\n";
      }
    }
    return with_ports(script);
  }

  /// Runs the blocks of a page, and compares what is shown behind them with what comes.
  void run(const std::string& page, size_t least_blocks, size_t least_compared) const {
    auto blocks = blocks_of(page);
    ASSERT_GE(blocks.size(), least_blocks);
    for (const char* program : {"bash", "curl", "openssl", "g++"}) {
      if (page.find(program) != page.npos && !is_installed(program)) {
        GTEST_SKIP() << program << " isn't installed";
      }
    }
    const bool has_redis = is_installed("redis-server");
    for (auto& block : blocks) {
      const bool is_skipped = (block.language == "python" && test::python().empty()) ||
                              (block.text.find("redis") != std::string::npos && !has_redis);
      if (is_skipped) block.language = "skipped";
    }
    std::ofstream(folder_ / "page.sh") << script_of(blocks);
    EXPECT_EQ(run_script(folder_.string(), "page.sh"), 0);
    size_t compared = 0;
    for (size_t i = 0; i < blocks.size(); ++i) {
      if (blocks[i].language == "sh") {
        EXPECT_TRUE(has_run(i)) << "not reached:\n" << blocks[i].text;
      } else if (i > 0 && has_run(i - 1)) {
        EXPECT_TRUE(is_as_shown(blocks[i], file("out", i - 1))) << blocks[i - 1].text << "shown:\n"
                                                                << blocks[i].text << "got:\n"
                                                                << file("out", i - 1);
        ++compared;
      }
    }
    EXPECT_GE(compared, least_compared);
    if (!HasFailure()) return;
    for (size_t i = 0; i < blocks.size(); ++i) std::fputs(file("err", i).c_str(), stdout);
  }

  bool has_run(size_t number) const {
    return std::filesystem::exists(folder_ / ("out." + std::to_string(number)));
  }
  /// What a block has written.
  std::string file(const std::string& kind, size_t number) const {
    return page_tables::text_of(folder_ / (kind + "." + std::to_string(number)));
  }

  std::string with_ports(std::string text) const {
    for (size_t i = 0; i < kPorts.size(); ++i) replace_all(text, kPorts[i], ports_[i]);
    replace_all(text, "--seconds 2", "--seconds 0.1 --warmup 0");
    return text;
  }
  const std::vector<std::string> kPorts = {"8000", "8001", "8443", "6379"};
  const std::vector<std::string> ports_ = {
      std::to_string(test::free_port()), std::to_string(test::free_port()),
      std::to_string(test::free_port()), std::to_string(test::free_port())};
  test::TemporaryFolder folder_;
};

TEST_F(ServingPage, has_commands_that_work_and_answer_as_it_shows) {
  run(page_tables::text_of(page_tables::source_folder() / "docs/serving.md"), 12, 3);
}

TEST_F(ServingPage, of_the_readme_has_commands_that_work_and_answer_as_it_shows) {
  const auto page = page_tables::text_of(page_tables::source_folder() / "README.md");
  const size_t begin = page.find("\n## Serving\n");
  ASSERT_NE(begin, page.npos);
  run(page.substr(begin, page.find("\n## ", begin + 1) - begin), 2, 1);
}

TEST(ServingPageBlocks, are_compared_by_their_members_and_about_by_their_numbers) {
  const json shown = json::parse(R"({"class": 0, "p": [0.94, 0.06]})");
  EXPECT_TRUE(has_json(R"(ok {"ready":true}{"class":0,"p":[0.941,0.059]} 7)", shown));
  EXPECT_FALSE(has_json(R"({"class":1,"p":[0.951,0.049]})", shown));
  EXPECT_FALSE(has_json(R"({"class":0,"p":[0.925,0.075]})", shown));
  EXPECT_FALSE(has_json(R"({"class":0,"p":[0.951]})", shown));
  EXPECT_FALSE(has_json(R"({"class":0,"p":[0.951,0.049],"more":1})", shown));
  EXPECT_TRUE(has_lines("class,p\n0,0.941\n", "class,p\n0,0.94\n"));
  EXPECT_FALSE(has_lines("class,p\n1,0.941\n", "class,p\n0,0.94\n"));
  EXPECT_FALSE(has_lines("class,p\n0,0.921\n", "class,p\n0,0.94\n"));
}

}  // namespace
}  // namespace levin::serving_commands_test
