// Tensors whose memory comes when an operation uses it.
#include <levin/framework/tensor/divided_memory.h>

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/core/error.h>

namespace levin::divided_memory_test {

/// Owns the memory of a few tensors, and notes who asks for them.
class Owner : public MemoryOwner {
 public:
  torch::Tensor add(const torch::Tensor& values) {
    auto tensor = values.clone();
    values_.push_back(values.clone());
    memories_.push_back(std::make_unique<DividedMemory>(tensor, *this, memories_.size()));
    return tensor;
  }
  void prepare(const std::vector<size_t>& numbers, const char* operation, bool writes) override {
    if (writes) throw ModuleError("it is written");
    for (const size_t number : numbers) {
      if (memories_[number]->is_filled()) continue;
      memories_[number]->fill(values_[number].clone());
      asked.emplace_back(number, operation);
    }
  }
  void make_whole() override {
    for (size_t i = 0; i < memories_.size(); ++i) {
      if (!memories_[i]->is_filled()) memories_[i]->fill(values_[i].clone());
    }
  }
  void divide() override {
    for (size_t i = 0; i < memories_.size(); ++i) {
      values_[i] = memories_[i]->whole().clone().view(values_[i].sizes());
      memories_[i]->free();
    }
  }
  void begin_evaluation() override { steps += "begin "; }
  void end_evaluation() override {
    steps += "end ";
    free();
  }
  void leave_evaluation() noexcept override { steps += "leave "; }
  void free() {
    for (auto& memory : memories_) memory->free();
  }

  std::vector<std::pair<size_t, std::string>> asked;
  std::string steps;  // of evaluations

 private:
  std::vector<torch::Tensor> values_;
  std::vector<std::unique_ptr<DividedMemory>> memories_;
};

class DividedMemoryTest : public testing::Test {
 protected:
  void SetUp() override { watch_operations(true); }
  void TearDown() override { watch_operations(false); }

  Owner owner_;
};

TEST_F(DividedMemoryTest, an_operation_finds_the_values_that_it_uses) {
  const auto values = torch::arange(6, torch::kDouble).view({2, 3});
  const auto divided = owner_.add(values);
  EXPECT_TRUE(is_divided(divided));
  EXPECT_FALSE(is_divided(values));
  EXPECT_TRUE(torch::equal(divided * 2.0, values * 2.0));
  ASSERT_EQ(owner_.asked.size(), 1U);
  EXPECT_EQ(owner_.asked[0].second, "aten::mul");
  owner_.free();
  EXPECT_TRUE(torch::equal(torch::stack({values, divided})[1], values)) << "also within lists";
  EXPECT_EQ(owner_.asked.size(), 2U);
}

TEST_F(DividedMemoryTest, views_and_shapes_ask_for_nothing) {
  const auto divided = owner_.add(torch::arange(6, torch::kDouble).view({2, 3}));
  const auto view = divided.t().narrow(0, 1, 2).view({2, 2});
  EXPECT_EQ(view.sizes(), (torch::IntArrayRef{2, 2}));
  EXPECT_EQ(torch::zeros_like(divided).sum().item<double>(), 0.0);
  EXPECT_TRUE(owner_.asked.empty());
  EXPECT_TRUE(is_divided(view));
  EXPECT_EQ(view.sum().item<double>(), 1 + 4 + 2 + 5);
  EXPECT_EQ(owner_.asked.size(), 1U);
}

TEST_F(DividedMemoryTest, only_what_an_operation_uses_is_made_whole) {
  const auto a = owner_.add(torch::ones({3}));
  const auto b = owner_.add(torch::ones({3}));
  EXPECT_EQ((a + 1.0).sum().item<float>(), 6.0F);
  EXPECT_EQ(owner_.asked, (decltype(owner_.asked){{0, "aten::add"}}));
  EXPECT_EQ((a + b).sum().item<float>(), 6.0F);
  EXPECT_EQ(owner_.asked.size(), 2U);
}

TEST_F(DividedMemoryTest, a_backward_pass_finds_them_again) {
  const auto values = torch::randn({4, 3}, torch::kDouble);
  auto weight = owner_.add(values).set_requires_grad(true);
  const auto input = torch::randn({5, 3}, torch::kDouble).set_requires_grad(true);
  const auto out = torch::linear(input, weight).tanh();
  owner_.free();
  owner_.asked.clear();
  out.sum().backward();
  ASSERT_FALSE(owner_.asked.empty()) << "the gradient of the input needs the weight";
  watch_operations(false);
  auto plain = values.clone().set_requires_grad(true);
  const auto same = input.detach().clone().set_requires_grad(true);
  torch::linear(same, plain).tanh().sum().backward();
  EXPECT_TRUE(torch::equal(weight.grad(), plain.grad()));
  EXPECT_TRUE(torch::equal(input.grad(), same.grad()));
}

TEST_F(DividedMemoryTest, what_the_owner_refuses_goes_to_the_caller) {
  const auto divided = owner_.add(torch::ones({3}));
  EXPECT_THROW(divided.add_(1.0), ModuleError);
  EXPECT_THROW(divided.view({3, 1}).fill_(1.0), ModuleError);
}

TEST_F(DividedMemoryTest, whole_tensors_keep_what_is_changed) {
  const auto divided = owner_.add(torch::ones({3}));
  watch_operations(false);
  {
    const WholeTensors whole({torch::ones({1}), divided});
    divided.mul_(5.0);
  }
  watch_operations(true);
  EXPECT_EQ(divided.sum().item<float>(), 15.0F);
}

TEST_F(DividedMemoryTest, a_step_of_an_evaluation_ends_or_is_left) {
  const auto a = owner_.add(torch::ones({3}));
  const auto b = owner_.add(torch::ones({3}));
  EXPECT_TRUE(memory_owners_of({torch::ones({2})}).empty());
  const auto owners = memory_owners_of({a, torch::ones({2}), b});
  ASSERT_EQ(owners.size(), 1U);
  {
    GatheredStep step(owners);
    EXPECT_EQ(a.sum().item<float>(), 3.0F);
    step.end();
  }
  EXPECT_EQ(owner_.steps, "begin end ");
  try {
    GatheredStep step(owners);
    throw ModuleError("it failed");
  } catch (const ModuleError&) {
  }
  EXPECT_EQ(owner_.steps, "begin end begin leave ");
}

TEST_F(DividedMemoryTest, a_tensor_whose_owner_is_gone_says_so) {
  torch::Tensor left;
  {
    Owner owner;
    left = owner.add(torch::ones({3}));
  }
  EXPECT_FALSE(is_divided(left));
  EXPECT_ANY_THROW(left.sum());
}

}  // namespace levin::divided_memory_test
