// What the program loads.
#include "cli/program.h"

#include <set>

namespace levin::start_up_test {

using test::ProgramTest;
namespace fs = std::filesystem;

class StartUp : public ProgramTest {
 protected:
  /// The libraries that the program has loaded by its end, as the dynamic linker names them.
  std::set<std::string> libraries_of(const std::vector<std::string>& arguments) const {
    ::setenv("LD_DEBUG", "files", 1);
    ::setenv("LD_DEBUG_OUTPUT", (folder_ / "linker").c_str(), 1);
    const pid_t child = start(arguments);
    ::unsetenv("LD_DEBUG");
    ::unsetenv("LD_DEBUG_OUTPUT");
    const auto ended = wait(child);
    EXPECT_EQ(ended.status, 0) << ended.err;
    std::set<std::string> libraries;
    std::ifstream file(folder_ / ("linker." + std::to_string(child)));
    const std::string mark = "calling init: ";
    for (std::string line; std::getline(file, line);) {
      const size_t found = line.find(mark);
      if (found != std::string::npos) libraries.insert(line.substr(found + mark.size()));
    }
    EXPECT_FALSE(libraries.empty());
    return libraries;
  }
};

TEST_F(StartUp, a_fit_loads_no_library_beyond_those_that_the_program_is_linked_with) {
  const auto of_fit =
      libraries_of({"fit", "--model", "LogisticRegression", "--data", "IrisDataModule",
                    "--trainer.max_epochs=1", "--trainer.accelerator=cpu"});
  EXPECT_EQ(of_fit, libraries_of({"--version"}));
  for (const auto& library : of_fit) {
    EXPECT_EQ(fs::path(library).filename().string().find("python"), std::string::npos) << library;
  }
}

}  // namespace levin::start_up_test
