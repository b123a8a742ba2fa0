#include <levin/cli/new/new_files.h>

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <utility>

#include <levin/cli/new/new_names.h>
#include <levin/framework/core/error.h>

#include "framework/message_of.h"
#include "framework/temporary_folder.h"

namespace levin::new_files_test {
namespace {

namespace fs = std::filesystem;
template <class Work>
std::string message_of(Work&& work) {
  return test::message_of<ConfigError>(std::forward<Work>(work));
}

std::string text_of(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::set<std::string> files_below(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& each : fs::recursive_directory_iterator(folder)) {
    if (each.is_regular_file()) names.insert(fs::relative(each.path(), folder).string());
  }
  return names;
}

TEST(NewNames, become_names_of_files_and_classes) {
  EXPECT_EQ(snake_case("MyNet"), "my_net");
  EXPECT_EQ(snake_case("myNet2"), "my_net2");
  EXPECT_EQ(snake_case("HTTPModel"), "http_model");
  EXPECT_EQ(snake_case("my_net"), "my_net");
  EXPECT_EQ(snake_case("MLP"), "mlp");
  EXPECT_EQ(pascal_case("my-new net"), "MyNewNet");
  EXPECT_EQ(pascal_case("flowers_2"), "Flowers2");
}

TEST(NewNames, that_cpp_does_not_allow_are_refused_with_the_nearest_right_one) {
  const auto refusal = [](const std::string& name) {
    return message_of([&] { require_class_name(name); });
  };
  EXPECT_EQ(refusal("my-net"),
            "'my-net' can't be the name of a class in C++; did you mean 'MyNet'?");
  EXPECT_NE(refusal("class").find("did you mean 'Class'?"), std::string::npos);
  EXPECT_NE(refusal("2net").find("did you mean 'My2net'?"), std::string::npos);
  EXPECT_NE(refusal("").find("did you mean 'MyClass'?"), std::string::npos);
  EXPECT_NE(refusal("_Net").find("did you mean 'Net'?"), std::string::npos);
  EXPECT_NE(refusal("../net").find("did you mean 'Net'?"), std::string::npos);
  EXPECT_NO_THROW(require_class_name("MyNet_2"));
}

TEST(NewFiles, of_a_project_have_its_names_and_no_placeholder) {
  const test::TemporaryFolder folder;
  const fs::path project = folder / "flowers";
  const std::string next = write_new_files("project", "flowers", project);
  EXPECT_EQ(files_below(project),
            (std::set<std::string>{
                ".gitignore", "CMakeLists.txt", "README.md", "config.yaml", "src/classes.cpp",
                "src/flowers_callback.cpp", "src/flowers_callback.h", "src/flowers_datamodule.cpp",
                "src/flowers_datamodule.h", "src/flowers_model.cpp", "src/flowers_model.h",
                "src/main.cpp", "tests/flowers_callback_test.cpp",
                "tests/flowers_datamodule_test.cpp", "tests/flowers_model_test.cpp"}));
  for (const auto& name : files_below(project)) {
    const std::string text = text_of(project / name);
    for (const auto* placeholder : {"@Class@", "@file@", "@Project@", "@project@"}) {
      EXPECT_EQ(text.find(placeholder), std::string::npos) << name << " has " << placeholder;
    }
  }
  EXPECT_NE(next.find("levin fit --plugin build/libflowers.so --config config.yaml"),
            std::string::npos)
      << next;
}

TEST(NewFiles, of_a_class_are_named_in_the_sources_of_its_project) {
  const test::TemporaryFolder folder;
  write_new_files("project", "Flowers", folder.path());
  write_new_files("model", "DeepNet", folder.path());
  const std::string classes = text_of(folder / "src" / "classes.cpp");
  EXPECT_NE(classes.find("#include \"deep_net.h\"\n// `levin new`"), std::string::npos) << classes;
  EXPECT_NE(classes.find("  registry.models.add<DeepNet>(\"DeepNet\", "), std::string::npos)
      << classes;
  EXPECT_NE(text_of(folder / "tests" / "deep_net_test.cpp").find("TEST(DeepNet, "),
            std::string::npos);
}

TEST(NewFiles, of_a_class_elsewhere_come_with_the_lines_to_add) {
  const test::TemporaryFolder folder;
  const std::string next = write_new_files("callback", "Watcher", folder.path());
  EXPECT_NE(next.find("registry.callbacks.add<Watcher>(\"Watcher\", "), std::string::npos) << next;
}

TEST(NewFiles, overwrite_nothing) {
  const test::TemporaryFolder folder;
  write_new_files("model", "Net", folder.path());
  fs::remove(folder / "src" / "net.h");
  std::ofstream(folder / "src" / "net.cpp") << "mine";
  const std::string refusal = message_of([&] { write_new_files("model", "Net", folder.path()); });
  EXPECT_NE(refusal.find("net.cpp exists already, and nothing was written"), std::string::npos)
      << refusal;
  EXPECT_EQ(text_of(folder / "src" / "net.cpp"), "mine");
  EXPECT_FALSE(fs::exists(folder / "src" / "net.h"));
}

TEST(NewFiles, refuse_kinds_and_projects_that_cannot_be) {
  EXPECT_NE(message_of([] { write_new_files("modle", "Net", {}); }).find("did you mean 'model'?"),
            std::string::npos);
  EXPECT_NE(
      message_of([] { write_new_files("project", "Levin", {}); }).find("did you mean 'my_levin'?"),
      std::string::npos);
}

}  // namespace
}  // namespace levin::new_files_test
