#include <levin/framework/checkpoint/matching_names.h>

#include <gtest/gtest.h>

#include <levin/framework/core/error.h>

#include "framework/message_of.h"
#include "framework/support.h"

namespace levin::matching_names_test {

using test::message_of;
using test::says;

/// Tensors of these names; each holds its number in the list.
StateDict named(const std::vector<std::string>& names) {
  StateDict state;
  for (const auto& name : names) {
    state.tensors[name] = torch::full({1}, static_cast<double>(state.tensors.size()));
  }
  return state;
}

/// What the module's tensors `own` get from `loaded`: "the module's name = the number there", and
/// behind a bar what belongs to something else.
std::string match(const std::vector<std::string>& own, const std::vector<std::string>& loaded) {
  const auto matched = match_names(named(own), named(loaded));
  std::string text;
  for (const auto& [name, tensor] : matched.weights.tensors) {
    text += name + "=" + std::to_string(tensor.item<int>()) + " ";
  }
  for (const auto& name : matched.others) text += "| " + name;
  return text;
}

const std::vector<std::string> kLinear = {"linear.weight", "linear.bias"};
const std::vector<std::string> kLayers = {"layer0.weight", "layer0.bias", "layer1.weight",
                                          "layer1.bias"};

TEST(MatchingNames, the_same_names_stay) {
  EXPECT_EQ(match(kLinear, kLinear), "linear.bias=1 linear.weight=0 ");
  // Something more may be a layer that the module lacks.
  EXPECT_EQ(match({"a.weight"}, {"a.weight", "b.weight"}), "a.weight=0 b.weight=1 ");
}

TEST(MatchingNames, a_prefix_is_removed) {
  EXPECT_EQ(match(kLinear, {"module.linear.weight", "module.linear.bias"}),
            "linear.bias=1 linear.weight=0 ");
  EXPECT_EQ(match(kLinear, {"a.b.linear.weight", "a.b.linear.bias", "loss.weight"}),
            "linear.bias=1 linear.weight=0 | loss.weight");
  EXPECT_EQ(match({"weight"}, {"net.weight", "net.bias"}), "bias=1 weight=0 ");
}

TEST(MatchingNames, the_only_layer_may_have_any_name) {
  EXPECT_EQ(match(kLinear, {"weight", "bias"}), "linear.bias=1 linear.weight=0 ");
  EXPECT_EQ(match(kLinear, {"model.fc.weight", "model.fc.bias"}), "linear.bias=1 linear.weight=0 ");
  EXPECT_EQ(match({"linear.weight"}, {"0.weight"}), "linear.weight=0 ");
}

TEST(MatchingNames, numbered_layers_are_matched_in_the_order_of_their_numbers) {
  EXPECT_EQ(match(kLayers, {"net.9.weight", "net.9.bias", "net.10.weight", "net.10.bias"}),
            "layer0.bias=1 layer0.weight=0 layer1.bias=3 layer1.weight=2 ");
  EXPECT_EQ(match(kLayers, {"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias", "loss.weight"}),
            "layer0.bias=1 layer0.weight=0 layer1.bias=3 layer1.weight=2 | loss.weight");
  EXPECT_EQ(match(kLayers, {"v2.0.weight", "v2.0.bias", "v2.2.weight", "v2.2.bias"}),
            "layer0.bias=1 layer0.weight=0 layer1.bias=3 layer1.weight=2 ");
}

TEST(MatchingNames, names_that_differ_otherwise_stay) {
  EXPECT_EQ(match(kLayers, {"0.weight", "0.bias", "1.weight", "1.bias", "2.weight", "2.bias"}),
            "0.bias=1 0.weight=0 1.bias=3 1.weight=2 2.bias=5 2.weight=4 ");
  EXPECT_EQ(match(kLayers, {"in.weight", "in.bias", "out.weight", "out.bias"}),
            "in.bias=1 in.weight=0 out.bias=3 out.weight=2 ");
  EXPECT_EQ(match({}, {"a.weight"}), "a.weight=0 ");
}

TEST(MatchingNames, weights_that_are_there_several_times_are_refused) {
  const auto message = [](const std::vector<std::string>& own,
                          const std::vector<std::string>& loaded) {
    return message_of<CheckpointError>([&] { match(own, loaded); });
  };
  EXPECT_TRUE(says(message(kLinear, {"student.linear.weight", "student.linear.bias",
                                     "teacher.linear.weight", "teacher.linear.bias"}),
                   {"behind 'student.' and 'teacher.'", ".child(\"student\")"}));
  EXPECT_TRUE(says(message(kLayers, {"a.0.weight", "a.0.bias", "a.1.weight", "a.1.bias",
                                     "b.0.weight", "b.0.bias", "b.1.weight", "b.1.bias"}),
                   {"behind 'a.' and 'b.'"}));
}

}  // namespace levin::matching_names_test
