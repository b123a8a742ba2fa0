#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <levin/cli/command.h>
#include <levin/framework/config/yaml.h>
#include <levin/serving/commands/serve_options.h>

// The files of examples/serving agree with the options of `levin serve`.

namespace levin::test::deployment_test {

std::string example(const std::string& name) {
  std::ifstream file(std::string(LEVIN_SOURCE_DIR "/examples/serving/") + name);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> words_of(const ConfigNode& list) {
  std::vector<std::string> words;
  for (const auto& item : list.items) words.push_back(item.text);
  return words;
}

/// Expects that the words are `serve` and options that it has.
void expect_serves(const std::vector<std::string>& words) {
  ASSERT_GT(words.size(), 2U);
  EXPECT_EQ(words.front(), "serve");
  ServeOptions options;
  std::set<std::string> known;
  for (const auto& field : describe(options)) known.insert("--" + option_name(field.name));
  size_t found = 0;
  for (const auto& word : words) {
    if (word.rfind("--", 0) != 0) continue;
    ++found;
    EXPECT_EQ(known.count(word), 1U) << word;
  }
  EXPECT_GT(found, 0U);
}

TEST(Deployment, compose_starts_levin_with_options_that_it_has) {
  const ConfigNode root = parse_yaml(example("docker-compose.yaml"), "docker-compose.yaml");
  const ConfigNode* services = root.find("services");
  ASSERT_NE(services, nullptr);
  for (const char* name : {"front1", "front2", "model"}) {
    ASSERT_NE(services->find(name), nullptr) << name;
    expect_serves(words_of(*services->find(name)->find("command")));
  }
}

TEST(Deployment, kubernetes_starts_levin_with_options_that_it_has) {
  const std::string text = example("kubernetes.yaml");
  const size_t end = text.find("\n---\n");
  ASSERT_NE(end, std::string::npos);
  const ConfigNode root = parse_yaml(text.substr(0, end), "kubernetes.yaml");
  const ConfigNode* pod = root.find("spec")->find("template")->find("spec");
  expect_serves(words_of(*pod->find("containers")->items.at(0).find("args")));
  const ConfigNode service = parse_yaml(text.substr(end + 5), "kubernetes.yaml");
  EXPECT_EQ(service.find("spec")->find("selector")->find("app")->text,
            root.find("spec")->find("selector")->find("matchLabels")->find("app")->text);
}

TEST(Deployment, systemd_starts_levin_with_options_that_it_has) {
  const std::string text = example("levin-serve.service");
  const std::string start = "\nExecStart=/opt/levin/bin/levin ";
  const size_t at = text.find(start);
  ASSERT_NE(at, std::string::npos);
  const size_t first = at + start.size();
  std::istringstream line(text.substr(first, text.find('\n', first) - first));
  expect_serves({std::istream_iterator<std::string>(line), {}});
}

}  // namespace levin::test::deployment_test
