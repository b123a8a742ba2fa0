#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "cli/program.h"

// What README.md shows is what is compiled and run.

namespace levin::test::readme_test {

std::string source(const char* name) { return read_file(fs::path(LEVIN_SOURCE_DIR) / name); }

/// The first block of `language` below a heading.
std::string block(const std::string& text, const std::string& heading,
                  const std::string& language) {
  const std::string fence = "```" + language + "\n";
  const size_t start = text.find(fence, text.find("\n## " + heading + "\n"));
  if (start == std::string::npos) return {};
  const size_t first = start + fence.size();
  return text.substr(first, text.find("```", first) - first);
}

TEST(Readme, the_first_model_is_the_text_of_an_example_that_is_run) {
  const std::string shown = block(source("README.md"), "A model of your own", "cpp");
  ASSERT_NE(shown.find("int main()"), std::string::npos) << shown;
  ASSERT_NE(shown.find("training_step"), std::string::npos) << shown;
  const std::string example = source("examples/own_model.cpp");
  EXPECT_NE(example.find(shown), std::string::npos) << shown;
}

TEST(Readme, the_first_model_takes_at_most_60_lines) {
  const std::string example = source("examples/own_model.cpp");
  ASSERT_FALSE(example.empty());
  EXPECT_LE(std::count(example.begin(), example.end(), '\n'), 60);
}

TEST(Readme, the_lines_about_defaults_are_those_of_a_test_that_is_run) {
  const std::string readme = source("README.md");
  const size_t program_ends = readme.find("```\n", readme.find("int main()"));
  const std::string shown = block("\n## After\n" + readme.substr(program_ends), "After", "cpp");
  ASSERT_NE(shown.find("add_defaults"), std::string::npos) << shown;
  const std::string test = source("tests/callbacks/defaults_test.cpp");
  size_t found = 0;
  for (const auto& line : lines_of(shown)) {
    found = test.find("\n  " + line + "\n", found);
    EXPECT_NE(found, std::string::npos) << line;
  }
}

/// `levin` reads the YAML the README shows.
class ReadmeYaml : public ProgramTest {};

// Row 22: the line to change is the model's class.
TEST_F(ReadmeYaml, trains_as_shown_and_with_its_one_line_changed) {
  const std::string shown = block(source("README.md"), "From the command line", "yaml");
  const std::string line = "class_path: LogisticRegression";
  const size_t at = shown.find(line);
  ASSERT_NE(at, std::string::npos) << shown;
  for (const char* model : {"LogisticRegression", "MLP"}) {
    std::string yaml = shown;
    write("readme.yaml", yaml.replace(at, line.size(), std::string("class_path: ") + model));
    const Outcome fit = run({"fit", "--config", "readme.yaml", "--trainer.max_epochs=2", "--json"});
    ASSERT_EQ(fit.status, 0) << fit.err;
    EXPECT_GT(fit.json().at("val_acc").as_double(), 0.5) << model;
  }
}

// Settings that only one of the two models has may stay; a warning names them, once.
TEST_F(ReadmeYaml, keeps_training_if_it_names_settings_that_only_the_other_model_has) {
  std::string yaml = block(source("README.md"), "From the command line", "yaml");
  const std::string settings = "num_classes: 10";
  yaml.replace(yaml.find(settings), settings.size(), settings + ", loss: softmax");
  const std::string name = "class_path: LogisticRegression";
  yaml.replace(yaml.find(name), name.size(), "class_path: MLP");
  write("mlp.yaml", yaml);
  const Outcome fit = run({"fit", "--config", "mlp.yaml", "--trainer.max_epochs=1", "--json"});
  ASSERT_EQ(fit.status, 0) << fit.err;
  const std::string warning =
      "warning: model: MLP doesn't have these settings, which are ignored: loss (mlp.yaml:";
  const size_t first = fit.err.find(warning);
  ASSERT_NE(first, std::string::npos) << fit.err;
  EXPECT_EQ(fit.err.find(warning, first + 1), std::string::npos) << fit.err;
  EXPECT_NE(fit.err.find("a setting of LogisticRegression"), std::string::npos) << fit.err;
}

TEST(Readme, the_cmakelists_is_that_of_the_project_which_is_built_against_an_installed_levin) {
  std::string shown = block(source("README.md"), "A model of your own", "cmake");
  ASSERT_FALSE(shown.empty());
  for (const auto& [from, to] :
       {std::pair{"train.cpp", "main.cpp"}, std::pair{"train", "consumer"}}) {
    for (size_t at = shown.find(from); at != std::string::npos; at = shown.find(from, at + 1)) {
      shown.replace(at, std::string_view(from).size(), to);
    }
  }
  const std::string built = source("tests/install/CMakeLists.txt");
  EXPECT_NE(built.find(shown), std::string::npos) << shown;
}

}  // namespace levin::test::readme_test
