#include <levin/models/softmax_loss.h>

#include "models/closed_form.h"

#include <c10/core/CPUAllocator.h>
#include <torch/torch.h>

#include <atomic>

#include <levin/datamodules/array.h>
#include <levin/framework/tensor/random.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/logistic_regression.h>

namespace levin::softmax_loss_test {

using test::expect_same;
using test::random_batch;
using test::step_of;
using test::StepRunner;

constexpr double kSame = 1e-6;

using ByAutograd = test::ByAutograd<LogisticRegression>;
using Counting = test::Counting<LogisticRegression>;

/// LibTorch's allocator of CPU memory, which counts the bytes that it is asked for.
class CountingAllocator : public c10::Allocator {
 public:
  /// One that lives forever, because a tensor refers to the allocator of its memory.
  static CountingAllocator& instance() {
    static auto& allocator = *new CountingAllocator;
    return allocator;
  }
  c10::DataPtr allocate(size_t bytes) override {
    allocated += bytes;
    return own_.allocate(bytes);
  }
  c10::DeleterFnPtr raw_deleter() const override { return own_.raw_deleter(); }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    own_.copy_data(to, from, bytes);
  }
  std::atomic<size_t> allocated{0};

 private:
  c10::Allocator& own_ = *c10::GetDefaultCPUAllocator();
};

/// Puts the CountingAllocator in the place of LibTorch's for as long as this object lives.
class CountedMemory {
 public:
  CountedMemory() : before_(c10::GetCPUAllocator()) {
    CountingAllocator::instance().allocated = 0;
    c10::SetCPUAllocator(&CountingAllocator::instance());
  }
  ~CountedMemory() { c10::SetCPUAllocator(before_); }
  CountedMemory(const CountedMemory&) = delete;
  CountedMemory& operator=(const CountedMemory&) = delete;
  size_t bytes() const { return CountingAllocator::instance().allocated; }

 private:
  c10::Allocator* before_;
};

LogisticRegressionOptions options_of(int64_t features, int64_t classes) {
  return {.in_features = features, .num_classes = classes, .loss = "softmax"};
}

TEST(SoftmaxLoss, each_step_has_the_loss_and_gradient_of_autograd) {
  seed_everything(1);
  for (const int64_t threads : {1, 2}) {
    at::set_num_threads(static_cast<int>(threads));
    for (const int64_t features : {4, 64, 784}) {
      for (const int64_t rows : {1, 5, 128}) {
        for (const bool bias : {true, false}) {
          auto options = options_of(features, 10);
          options.bias = bias;
          Counting fused(options);
          ByAutograd plain(options);
          plain.load_state_dict(fused.state_dict());
          const Batch batch = random_batch(rows, features, 10);
          for (const double weight : {1.0, 0.25}) {
            expect_same(step_of(fused, batch, weight), step_of(plain, batch, weight));
          }
          EXPECT_EQ(fused.by_autograd, 0);
        }
      }
    }
  }
  at::set_num_threads(1);
}

TEST(SoftmaxLoss, penalties_are_added_by_autograd) {
  auto options = options_of(20, 3);
  options.l1_strength = 0.1;
  options.l2_strength = 0.2;
  Counting fused(options);
  ByAutograd plain(options);
  plain.load_state_dict(fused.state_dict());
  const Batch batch = random_batch(40, 20, 3);
  expect_same(step_of(fused, batch), step_of(plain, batch));
  EXPECT_EQ(fused.by_autograd, 0);
}

TEST(SoftmaxLoss, gradients_accumulate_over_batches) {
  Counting fused(options_of(20, 3));
  ByAutograd plain(options_of(20, 3));
  plain.load_state_dict(fused.state_dict());
  for (int i = 0; i < 3; ++i) {
    const Batch batch = random_batch(40, 20, 3);
    for (Module* module : {static_cast<Module*>(&fused), static_cast<Module*>(&plain)}) {
      module->backward(StepRunner().train(*module, batch));
    }
  }
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_TENSORS_NEAR(fused.parameters()[i].grad(), plain.parameters()[i].grad(), 3 * kSame);
  }
}

TEST(SoftmaxLoss, a_gradient_that_is_kept_is_not_written_again) {
  Counting fused(options_of(20, 3));
  fused.backward(StepRunner().train(fused, random_batch(40, 20, 3)));
  const auto kept = fused.parameters()[0].grad();
  const auto copy = kept.clone();
  for (int i = 0; i < 4; ++i) {
    for (auto& parameter : fused.parameters()) parameter.mutable_grad().reset();
    fused.backward(StepRunner().train(fused, random_batch(40, 20, 3)));
  }
  EXPECT_TRUE(torch::equal(kept, copy));
}

TEST(SoftmaxLoss, hooks_on_parameters_are_called) {
  Counting fused(options_of(20, 3));
  int calls = 0;
  fused.parameters()[0].register_hook([&calls](const torch::Tensor& gradient) {
    ++calls;
    return gradient * 2.0;
  });
  ByAutograd plain(options_of(20, 3));
  plain.load_state_dict(fused.state_dict());
  const Batch batch = random_batch(40, 20, 3);
  const auto hooked = step_of(fused, batch);
  EXPECT_EQ(calls, 1);
  EXPECT_TENSORS_NEAR(hooked.gradients[0], step_of(plain, batch).gradients[0] * 2.0, kSame);
}

TEST(SoftmaxLoss, is_left_where_it_does_not_fit) {
  Counting in_double(options_of(20, 3));
  in_double.to(torch::kDouble);
  Batch batch = random_batch(40, 20, 3);
  batch.set("input", batch.input().to(torch::kDouble));
  step_of(in_double, batch);
  EXPECT_EQ(in_double.by_autograd, 1);

  Counting many(options_of(20, 100));
  step_of(many, random_batch(40, 20, 100));
  EXPECT_EQ(many.by_autograd, 1);

  Counting strided(options_of(20, 3));
  batch.set("input", torch::randn({20, 40}).t());
  step_of(strided, batch);
  EXPECT_EQ(strided.by_autograd, 1);

  Counting frozen(options_of(20, 3));
  frozen.parameters()[1].set_requires_grad(false);
  const auto loss = StepRunner().train(frozen, random_batch(40, 20, 3));
  frozen.backward(loss);
  EXPECT_EQ(frozen.by_autograd, 1);
  EXPECT_TRUE(frozen.parameters()[0].grad().defined());
}

TEST(SoftmaxLoss, a_subclass_with_another_forward_is_not_bypassed) {
  class Doubled : public LogisticRegression {
   public:
    using LogisticRegression::LogisticRegression;
    torch::Tensor forward(const torch::Tensor& input) override {
      return LogisticRegression::forward(input) * 2.0;
    }
  };
  LogisticRegression plain(options_of(20, 3));
  Doubled doubled(options_of(20, 3));
  doubled.load_state_dict(plain.state_dict());
  const Batch batch = random_batch(40, 20, 3);
  EXPECT_GT(std::abs(step_of(plain, batch).loss - step_of(doubled, batch).loss), 1e-3);
}

TEST(SoftmaxLoss, rows_of_bytes_are_read_where_they_lie) {
  const auto bytes = torch::randint(256, {50, 784}, torch::kByte);
  const auto labels = torch::randint(10, {50}, torch::kLong);
  TensorDataset data(bytes, labels);
  data.set_scale("input", {.scale = 1.0F / 255.0F, .zero_point = 127.5F});
  Counting fused(options_of(784, 10));
  ByAutograd plain(options_of(784, 10));
  plain.load_state_dict(fused.state_dict());
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < 400; ++i) rows.push_back(i * 17 % 50);
  Batch in_place;
  data.select_batch(rows, in_place);
  Batch gathered;
  data.get_batch(rows, gathered);
  expect_same(step_of(fused, in_place), step_of(plain, gathered));
  EXPECT_EQ(fused.by_autograd, 0);
  const size_t a_copy = in_place.input_rows().nbytes();
  const auto allocated_by = [&](Module& model) {
    const CountedMemory memory;
    step_of(model, in_place);
    return memory.bytes();
  };
  EXPECT_LT(allocated_by(fused), a_copy / 4) << "the rows were copied";
  EXPECT_GE(allocated_by(plain), a_copy) << "copies aren't noticed";
}

TEST(SoftmaxLoss, a_fit_leaves_the_rows_it_reads_in_place_where_they_are) {
  class Measured : public Counting {
   public:
    using Counting::Counting;
    void on_train_start(levin::Run&) override { memory_.emplace(); }
    void on_train_batch_end(const torch::Tensor&, const Batch& batch, Step&) override {
      EXPECT_FALSE(batch.input_rows().is_dense());
    }
    void on_train_end(levin::Run&) override {
      allocated = memory_->bytes();
      memory_.reset();
    }
    size_t allocated = 0;

   private:
    std::optional<CountedMemory> memory_;
  };
  const auto x = torch::randn({400, 784});
  ArrayDataModule data(x, torch::randint(3, {400}, torch::kLong),
                       {.batch_size = 50, .val_split = 0.0, .test_split = 0.0});
  Measured model(options_of(784, 3));
  Trainer({.accelerator = "cpu", .max_epochs = 2}).fit(model, data);
  EXPECT_EQ(model.by_autograd, 0);
  EXPECT_GT(model.allocated, 0U);
  EXPECT_LT(model.allocated, x.nbytes() / 4) << "the rows were copied";
}

// A hook may change the tensor that it gets, as it may with modules that don't read in place.
TEST(SoftmaxLoss, what_hooks_do_to_the_input_in_place_is_what_the_step_reads) {
  class Doubling : public ArrayDataModule {
   public:
    using ArrayDataModule::ArrayDataModule;
    void on_after_batch_transfer(Batch& batch) override { batch.input().mul_(2.0); }
  };
  auto options = options_of(784, 10);
  options.optimizer = "SGD";
  options.learning_rate = 0.01;
  const auto x = torch::randn({40, 784});
  const auto x_before = x.clone();
  const auto y = torch::randint(10, {40}, torch::kLong);
  const auto fit = [&](Module& model) {
    Doubling data(x, y, {.batch_size = 8, .val_split = 0.0, .test_split = 0.0, .shuffle = false});
    Trainer({.accelerator = "cpu", .max_epochs = 2}).fit(model, data);
  };
  Counting fused(options);
  ByAutograd plain(options);
  plain.load_state_dict(fused.state_dict());
  fit(fused);
  fit(plain);
  EXPECT_EQ(fused.by_autograd, 0);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_TENSORS_NEAR(fused.parameters()[i], plain.parameters()[i], 1e-5);
  }
  EXPECT_TRUE(torch::equal(x, x_before)) << "the data were written";
}

TEST(SoftmaxLoss, rows_that_are_none_are_not_read) {
  const auto weight = torch::randn({3, 20}, torch::requires_grad());
  Rows rows;
  Rows(torch::randn({5, 20})).select(std::vector<int64_t>{4, 1}, rows);
  EXPECT_TRUE(SoftmaxLoss::view(rows, weight, {}));
  EXPECT_FALSE(SoftmaxLoss::view(rows.narrow(0, 0), weight, {})) << "their mean would be NaN";
}

// What a fit hands to a module that reads rows in place; others get tensors.
TEST(SoftmaxLoss, training_steps_read_rows_in_place_if_the_parameters_allow_it) {
  class Watching : public Counting {
   public:
    using Counting::Counting;
    torch::Tensor training_step(const Batch& batch, Step& step) override {
      ++(batch.input_rows().is_dense() ? copied : in_place);
      return Counting::training_step(batch, step);
    }
    void validation_step(const Batch& batch, Step& step) override {
      EXPECT_TRUE(batch.input_rows().is_dense());
      Counting::validation_step(batch, step);
    }
    int copied = 0;
    int in_place = 0;
  };
  const auto fit = [](Watching& model) {
    ArrayDataModule data(torch::randn({50, 100}), torch::randint(3, {50}, torch::kLong),
                         {.batch_size = 5, .val_split = 0.2, .test_split = 0.0});
    Trainer trainer({.accelerator = "cpu", .max_epochs = 2, .num_sanity_val_steps = 0});
    trainer.fit(model, data);
  };
  Watching fused(options_of(100, 3));
  fit(fused);
  EXPECT_EQ(fused.in_place, 16);
  EXPECT_EQ(fused.copied, 0);

  Watching frozen(options_of(100, 3));
  frozen.parameters()[1].set_requires_grad(false);
  fit(frozen);
  EXPECT_EQ(frozen.in_place, 0);
  EXPECT_EQ(frozen.copied, 16);
}

// A step that can't use the pass after all still gets its tensor.
TEST(SoftmaxLoss, rows_in_place_that_the_pass_does_not_take_go_by_autograd) {
  const TensorDataset data(torch::randn({50, 100}), torch::randint(3, {50}, torch::kLong));
  Batch in_place;
  Batch gathered;
  const std::vector<int64_t> rows = {3, 49, 0};
  data.select_batch(rows, in_place);
  data.get_batch(rows, gathered);
  ByAutograd plain(options_of(100, 3));
  expect_same(step_of(plain, in_place), step_of(plain, gathered));
}

}  // namespace levin::softmax_loss_test
