#include <levin/framework/tensor/state_dict.h>

#include <gtest/gtest.h>

#include <levin/framework/core/error.h>

#include "framework/message_of.h"
#include "framework/support.h"

namespace levin::state_dict_test {

using test::message_of;
using test::same_bits;
using test::says;

StateDict counter(int64_t value) {
  StateDict state;
  state.tensors["sum"] = torch::full({2}, static_cast<double>(value));
  state.values["count"] = value;
  return state;
}

TEST(StateDictTree, a_child_comes_back_as_it_was_put_in) {
  StateDict state;
  state.add("optimizer", counter(1));
  state.add("optimizer2", counter(2));  // shares the prefix "optimizer"
  EXPECT_EQ(state.tensors.count("optimizer.sum"), 1U);
  const StateDict child = state.child("optimizer");
  EXPECT_EQ(child.tensors.size(), 1U);
  EXPECT_TRUE(same_bits(child.tensor("sum"), torch::full({2}, 1.0)));
  EXPECT_EQ(child.values, counter(1).values);
  EXPECT_EQ(state.child("optimizer2").values.at("count"), Value(2));
}

TEST(StateDictTree, children_nest) {
  StateDict inner;
  inner.add("0", counter(5));
  StateDict state;
  state.add("optimizer", std::move(inner));
  EXPECT_EQ(state.tensors.begin()->first, "optimizer.0.sum");
  EXPECT_EQ(state.child("optimizer").child("0").values.at("count"), Value(5));
  EXPECT_EQ(state.child("optimizer").child("0").tensors.size(), 1U);
}

TEST(StateDictTree, a_child_that_is_not_there_is_empty) {
  const StateDict state = counter(1);
  EXPECT_FALSE(state.has_child("optimizer"));
  EXPECT_TRUE(state.child("optimizer").tensors.empty());
  EXPECT_TRUE(state.child("optimizer").values.as_object().empty());
}

TEST(StateDictTree, knows_children_of_tensors_or_of_values_alone) {
  StateDict tensors;
  tensors.tensors["w"] = torch::zeros({1});
  StateDict state;
  state.tensors["model.weight"] = torch::zeros({1});
  state.values["loop"]["epoch"] = 1;
  state.add("empty", {});
  EXPECT_TRUE(state.has_child("model"));
  EXPECT_TRUE(state.has_child("loop"));
  EXPECT_TRUE(state.has_child("empty"));
  EXPECT_FALSE(state.has_child("mode"));
  EXPECT_FALSE(state.has_child("model.weight"));
}

TEST(StateDictTree, putting_a_child_again_replaces_it) {
  StateDict state;
  state.add("a", counter(1));
  state.add("a", counter(2));
  EXPECT_EQ(state.tensors.size(), 1U);
  EXPECT_EQ(state.child("a").values.at("count"), Value(2));
  EXPECT_EQ(state.child("a").tensor("sum")[0].item<double>(), 2.0);
}

TEST(StateDictTree, is_empty_without_tensors_and_values) {
  EXPECT_TRUE(StateDict().empty());
  EXPECT_TRUE(counter(1).child("nothing").empty());
  EXPECT_FALSE(counter(1).empty());
  StateDict values;
  values.values["count"] = 0;
  EXPECT_FALSE(values.empty());
  StateDict tensors;
  tensors.tensors["sum"] = torch::zeros({});
  EXPECT_FALSE(tensors.empty());
}

TEST(StateDictTensors, a_missing_one_is_named) {
  const auto message = message_of<CheckpointError>([] { counter(1).tensor("momentum"); });
  EXPECT_TRUE(says(message, {"'momentum'"}));
}

TEST(StateDictTensors, are_shared_until_cloned) {
  auto parameter = torch::ones({3}, torch::requires_grad());
  StateDict state;
  state.tensors["w"] = parameter;
  state.values["n"] = 1;
  const StateDict copy = state.clone();
  {
    const torch::NoGradGuard no_grad;
    parameter.fill_(7);
  }
  EXPECT_EQ(state.tensor("w")[0].item<float>(), 7.0F);
  EXPECT_EQ(copy.tensor("w")[0].item<float>(), 1.0F);
  EXPECT_FALSE(copy.tensor("w").requires_grad());
  EXPECT_EQ(copy.values, state.values);
}

}  // namespace levin::state_dict_test
