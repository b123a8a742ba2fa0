#include <levin/models/chain_loss.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "models/closed_form.h"

#include <torch/torch.h>

#include <levin/datamodules/array.h>
#include <levin/framework/data/dataset.h>
#include <levin/framework/tensor/random.h>
#include <levin/framework/threads/threads.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/mlp.h>

namespace levin::chain_loss_test {

using test::expect_same;
using test::Outcome;
using test::step_of;
using test::StepRunner;

constexpr double kSame = 1e-6;

using ByAutograd = test::ByAutograd<MLP>;
using Counting = test::Counting<MLP>;

MLPOptions options_of(std::vector<int64_t> hidden, const std::string& activation = "relu") {
  return {.in_features = 20,
          .num_classes = 3,
          .hidden_sizes = std::move(hidden),
          .activation = activation};
}

Batch random_batch(int64_t rows) { return test::random_batch(rows, 20, 3); }

TEST(ChainLoss, each_step_has_the_loss_and_gradients_of_autograd) {
  seed_everything(1);
  for (const char* activation :
       {"relu", "tanh", "sigmoid", "gelu", "leaky_relu", "elu", "silu", "identity"}) {
    for (const auto& hidden : std::vector<std::vector<int64_t>>{{}, {7}, {16, 5}}) {
      for (const bool bias : {true, false}) {
        auto options = options_of(hidden, activation);
        options.bias = bias;
        Counting closed(options);
        ByAutograd plain(options);
        plain.load_state_dict(closed.state_dict());
        for (const int64_t rows : {1, 40, 17}) {
          const Batch batch = random_batch(rows);
          for (const double weight : {1.0, 0.25}) {
            SCOPED_TRACE(activation);
            expect_same(step_of(closed, batch, weight), step_of(plain, batch, weight));
          }
        }
        EXPECT_EQ(closed.by_autograd, 0);
      }
    }
  }
}

// Several parts of each product: of a first layer that copies its rows, and of one that reads them
// in place, floats and bytes.
TEST(ChainLoss, has_the_same_bits_for_any_number_of_threads) {
  seed_everything(1);
  constexpr int64_t kRows = 2048;
  const auto labels = torch::randint(100, {kRows}, torch::kLong);
  TensorDataset floats(torch::randn({kRows, 320}), labels);
  TensorDataset bytes(torch::randint(256, {kRows, 320}).to(torch::kByte), labels);
  bytes.set_scale("input", {.scale = 1.0F / 128.0F, .zero_point = 127.5F});
  std::vector<int64_t> all(kRows);
  std::iota(all.rbegin(), all.rend(), 0);
  for (const auto* data : {&floats, &bytes}) {
    for (const auto& hidden : std::vector<std::vector<int64_t>>{{256, 128}, {64}}) {
      SCOPED_TRACE(testing::PrintToString(hidden));
      const MLPOptions options{.in_features = 320, .num_classes = 100, .hidden_sizes = hidden};
      Counting closed(options);
      Batch batch;
      data->select_batch(all, batch);
      std::vector<Outcome> outcomes;
      for (const int threads : {1, 2, 3}) {
        ThreadScope scope;
        scope.set({.threads = 1, .sharing = threads});
        outcomes.push_back(step_of(closed, batch));
      }
      for (size_t k = 1; k < outcomes.size(); ++k) {
        EXPECT_EQ(outcomes[k].loss, outcomes[0].loss);
        for (size_t i = 0; i < outcomes[0].gradients.size(); ++i) {
          EXPECT_TRUE(torch::equal(outcomes[k].gradients[i], outcomes[0].gradients[i])) << i;
        }
      }
      ByAutograd plain(options);
      plain.load_state_dict(closed.state_dict());
      expect_same(outcomes[0], step_of(plain, batch));
      EXPECT_EQ(closed.by_autograd, 0);
    }
  }
}

// A step that is skipped, or weights that are loaded, may follow a NaN.
TEST(ChainLoss, a_batch_with_nan_leaves_nothing_behind) {
  Counting closed(options_of({7}));
  ByAutograd plain(options_of({7}));
  plain.load_state_dict(closed.state_dict());
  Batch bad = random_batch(40);
  bad.input().fill_(std::numeric_limits<float>::quiet_NaN());
  EXPECT_TRUE(std::isnan(step_of(closed, bad).loss));
  const Batch good = random_batch(40);
  expect_same(step_of(closed, good), step_of(plain, good));
}

TEST(ChainLoss, a_fit_reads_the_rows_where_they_are) {
  class Watching : public Counting {
   public:
    using Counting::Counting;
    torch::Tensor training_step(const Batch& batch, Step& step) override {
      ++(batch.input_rows().is_dense() ? copied : in_place);
      return Counting::training_step(batch, step);
    }
    int copied = 0;
    int in_place = 0;
  };
  auto options = options_of({7});
  options.in_features = 100;
  const auto x = torch::randn({60, 100});
  const auto x_before = x.clone();
  const auto y = torch::randint(3, {60}, torch::kLong);
  const auto fit = [&](Module& model) {
    seed_everything(5);
    ArrayDataModule data(x, y, {.batch_size = 8, .val_split = 0.0, .test_split = 0.0});
    Trainer({.accelerator = "cpu", .max_epochs = 2}).fit(model, data);
  };
  Watching closed(options);
  ByAutograd plain(options);
  plain.load_state_dict(closed.state_dict());
  fit(closed);
  fit(plain);
  EXPECT_EQ(closed.in_place, 16);
  EXPECT_EQ(closed.copied, 0);
  EXPECT_EQ(closed.by_autograd, 0);
  for (size_t i = 0; i < closed.parameters().size(); ++i) {
    EXPECT_TENSORS_NEAR(closed.parameters()[i], plain.parameters()[i], 1e-5);
  }
  EXPECT_TRUE(torch::equal(x, x_before)) << "the data were written";

  Watching frozen(options);
  frozen.parameters()[0].set_requires_grad(false);
  fit(frozen);
  EXPECT_EQ(frozen.in_place, 0);
}

// Rows that the first layer reads where they lie, and ones of which it needs a copy.
TEST(ChainLoss, reads_rows_of_floats_and_bytes_in_place) {
  constexpr int64_t kFeatures = 320;  // data sets copy short rows
  seed_everything(1);
  const auto labels = torch::randint(3, {90}, torch::kLong);
  TensorDataset floats(torch::randn({90, kFeatures}), labels);
  TensorDataset bytes(torch::randint(256, {90, kFeatures}).to(torch::kByte), labels);
  bytes.set_scale("input", {.scale = 1.0F / 128.0F, .zero_point = 127.5F});
  const std::vector<int64_t> rows{88, 3, 3, 41, 0, 17, 89, 5, 60, 61, 62};
  for (const auto* data : {&floats, &bytes}) {
    for (const auto& hidden : std::vector<std::vector<int64_t>>{{7}, {80, 5}, {}}) {
      SCOPED_TRACE(testing::PrintToString(hidden));
      auto options = options_of(hidden);
      options.in_features = kFeatures;
      Counting closed(options);
      ByAutograd plain(options);
      plain.load_state_dict(closed.state_dict());
      EXPECT_EQ(closed.reads_rows_in_place(), hidden.empty() || hidden[0] <= 64);
      EXPECT_FALSE(plain.reads_rows_in_place());
      Batch selected;
      data->select_batch(rows, selected);
      EXPECT_FALSE(selected.input_rows().is_dense());
      Batch gathered;
      data->get_batch(rows, gathered);
      expect_same(step_of(closed, selected), step_of(plain, gathered));
      EXPECT_EQ(closed.by_autograd, 0);
    }
  }
}

TEST(ChainLoss, penalties_are_added_by_autograd) {
  auto options = options_of({7});
  options.l1_strength = 0.1;
  options.l2_strength = 0.2;
  Counting closed(options);
  ByAutograd plain(options);
  plain.load_state_dict(closed.state_dict());
  const Batch batch = random_batch(40);
  expect_same(step_of(closed, batch), step_of(plain, batch));
  EXPECT_EQ(closed.by_autograd, 0);
}

TEST(ChainLoss, gradients_accumulate_over_batches) {
  Counting closed(options_of({7}));
  ByAutograd plain(options_of({7}));
  plain.load_state_dict(closed.state_dict());
  for (int i = 0; i < 3; ++i) {
    const Batch batch = random_batch(40);
    for (Module* module : {static_cast<Module*>(&closed), static_cast<Module*>(&plain)}) {
      module->backward(StepRunner().train(*module, batch));
    }
  }
  for (size_t i = 0; i < closed.parameters().size(); ++i) {
    EXPECT_TENSORS_NEAR(closed.parameters()[i].grad(), plain.parameters()[i].grad(), 3 * kSame);
  }
}

/// As the comment of ChainLoss shows it.
class OwnNet : public Classifier {
 public:
  OwnNet() : Classifier({.num_classes = 3}), first_(20, 7), last_(7, 3) {
    register_module("first", first_);
    register_module("last", last_);
  }
  torch::Tensor forward(const torch::Tensor& input) override {
    return last_(torch::relu(first_(flatten_for(first_->weight, input))));
  }
  bool reads_rows_in_place() const override { return ChainLoss::reads_rows_in_place(layers()); }
  torch::Tensor batch_loss(const Batch& batch, const torch::Tensor& y) override {
    const auto& x = batch.input_rows();
    is_closed_form = ChainLoss::can_learn(x, y, layers());
    return is_closed_form ? chain_loss_(x, y, layers()) : Classifier::batch_loss(batch, y);
  }
  void backward(const torch::Tensor& loss) override {
    if (!chain_loss_.backward(loss)) Classifier::backward(loss);
  }
  bool is_closed_form = false;

 private:
  std::vector<ChainLayer> layers() const {
    return {{first_->weight, first_->bias}, {last_->weight, last_->bias}};
  }
  torch::nn::Linear first_;
  torch::nn::Linear last_;
  ChainLoss chain_loss_{find_activation("relu")};
};

TEST(ChainLoss, serves_a_module_of_ones_own) {
  OwnNet own;
  ByAutograd plain(options_of({7}));
  for (size_t i = 0; i < 4; ++i) {
    const torch::NoGradGuard no_grad;
    plain.parameters()[i].copy_(own.parameters()[i]);
  }
  const Batch batch = random_batch(40);
  expect_same(step_of(own, batch), step_of(plain, batch));
  EXPECT_TRUE(own.is_closed_form);
}

TEST(ChainLoss, hooks_on_parameters_are_called) {
  Counting closed(options_of({7}));
  int calls = 0;
  closed.parameters()[0].register_hook([&calls](const torch::Tensor& gradient) {
    ++calls;
    return gradient * 2.0;
  });
  ByAutograd plain(options_of({7}));
  plain.load_state_dict(closed.state_dict());
  const Batch batch = random_batch(40);
  const auto hooked = step_of(closed, batch);
  EXPECT_EQ(calls, 1);
  EXPECT_TENSORS_NEAR(hooked.gradients[0], step_of(plain, batch).gradients[0] * 2.0, kSame);
}

TEST(ChainLoss, is_left_where_it_does_not_fit) {
  Counting in_double(options_of({7}));
  in_double.to(torch::kDouble);
  Batch batch = random_batch(40);
  batch.set("input", batch.input().to(torch::kDouble));
  step_of(in_double, batch);
  EXPECT_EQ(in_double.by_autograd, 1);

  Counting frozen(options_of({7}));
  frozen.parameters()[0].set_requires_grad(false);
  StepRunner().train(frozen, random_batch(40));
  EXPECT_EQ(frozen.by_autograd, 1);

  Counting binary({.in_features = 20, .num_classes = 2, .hidden_sizes = {7}});
  EXPECT_FALSE(ChainLoss::can_learn({{binary.parameters()[0], {}}, {torch::ones({1, 7}), {}}}));

  auto dropping = options_of({7});
  dropping.dropout = 0.5;
  Counting with_dropout(dropping);
  ByAutograd plain(dropping);
  plain.load_state_dict(with_dropout.state_dict());
  const Batch other = random_batch(40);
  seed_everything(3);
  const auto own = step_of(with_dropout, other);
  seed_everything(3);
  expect_same(own, step_of(plain, other));
}

TEST(ChainLoss, a_subclass_with_another_forward_is_not_bypassed) {
  class Doubled : public MLP {
   public:
    using MLP::MLP;
    torch::Tensor forward(const torch::Tensor& input) override { return MLP::forward(input) * 2.0; }
  };
  Doubled doubled(options_of({7}));
  MLP plain(options_of({7}));
  plain.load_state_dict(doubled.state_dict());
  const Batch batch = random_batch(40);
  EXPECT_NE(step_of(doubled, batch).loss, step_of(plain, batch).loss);
}

}  // namespace levin::chain_loss_test
