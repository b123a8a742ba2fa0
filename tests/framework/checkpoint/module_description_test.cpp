#include <levin/framework/checkpoint/module_description.h>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/formats/safetensors.h>

#include "framework/support.h"

namespace levin::module_description_test {

using Names = std::vector<std::string>;

StateDict with(const ModuleDescription& description) {
  StateDict state;
  state.values["module"] = to_value(description);
  return state;
}

TEST(ModuleDescription, comes_back_as_it_was) {
  const ModuleDescription full{.class_path = "MLP",
                               .init_args = Value::Object{{"in_features", 4}},
                               .input = InputDescription{.shape = {1, 28, 28}, .dtype = "uint8"},
                               .class_names = {"cat", "dog"}};
  const auto read = module_description(with(full));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->class_path, "MLP");
  EXPECT_EQ(read->init_args, full.init_args);
  ASSERT_TRUE(read->input);
  EXPECT_EQ(read->input->shape, (std::vector<int64_t>{1, 28, 28}));
  EXPECT_EQ(read->input->dtype, "uint8");
  EXPECT_EQ(read->class_names, (Names{"cat", "dog"}));

  const auto least = module_description(with({.class_path = "Net"}));
  ASSERT_TRUE(least);
  EXPECT_TRUE(least->init_args.is_null());
  EXPECT_FALSE(least->input);
  EXPECT_TRUE(least->class_names.empty());
}

TEST(ModuleDescription, a_state_without_one_has_none_and_a_damaged_one_is_refused) {
  EXPECT_FALSE(module_description(StateDict()));
  StateDict damaged;
  damaged.values["module"] = "MLP";
  EXPECT_THROW(module_description(damaged), CheckpointError);
  damaged = with({.class_path = "MLP"});
  damaged.values["module"]["class_names"] = 3;
  EXPECT_THROW(module_description(damaged), CheckpointError);
}

// What Python's safetensors gives as metadata()["levin.values"], read by another JSON parser.
TEST(ModuleDescription, is_json_in_the_metadata_of_the_file) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "a.ckpt";
  save_checkpoint(path, with({.class_path = "MLP",
                              .init_args = Value::Object{{"hidden_sizes", Value::Array{16, 8}}},
                              .input = InputDescription{.shape = {4}, .dtype = "float32"},
                              .class_names = {"setosa", "versicolor"}}));
  const std::string bytes = files::read_text(path);
  const auto file = safetensors::parse(std::as_bytes(std::span(bytes)), path.string());
  const auto json = nlohmann::json::parse(file.header.metadata.at("levin.values"));
  EXPECT_EQ(json["module"], nlohmann::json::parse(R"({
      "class_path": "MLP", "init_args": {"hidden_sizes": [16, 8]},
      "input": {"shape": [4], "dtype": "float32"}, "class_names": ["setosa", "versicolor"]})"));
}

TEST(ModuleDescription, what_the_data_taught_is_read_with_the_names_of_the_classes) {
  StateDict checkpoint;
  EXPECT_TRUE(fitted_state(checkpoint).values.as_object().empty());
  checkpoint.values["module"] = to_value(ModuleDescription{.class_names = {"cat", "dog"}});
  EXPECT_EQ(class_names_in(fitted_state(checkpoint)), (Names{"cat", "dog"}));
  StateDict fitted;
  fitted.values["target_type"] = "class";
  checkpoint.add("fitted", fitted);
  EXPECT_EQ(class_names_in(fitted_state(checkpoint)), (Names{"cat", "dog"}));
  EXPECT_EQ(fitted_state(checkpoint).values.at("target_type"), Value("class"));
  fitted.values["class_names"] = Value::Array{"emu"};
  checkpoint.add("fitted", fitted);
  EXPECT_EQ(class_names_in(fitted_state(checkpoint)), Names{"emu"});
}

}  // namespace levin::module_description_test
