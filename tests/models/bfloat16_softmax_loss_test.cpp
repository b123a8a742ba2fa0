#include <levin/models/bfloat16_softmax_loss.h>

#include "models/closed_form.h"

#include <torch/torch.h>

#include <cmath>
#include <optional>

#include <levin/datamodules/digits.h>
#include <levin/framework/core/error.h>
#include <levin/framework/tensor/device.h>
#include <levin/framework/tensor/random.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/logistic_regression.h>

namespace levin::bfloat16_softmax_loss_test {

using test::expect_same;
using test::Outcome;
using test::step_of;
using test::StepRunner;

constexpr double kSame = 1e-6;
constexpr double kRounding = 1.0 / 256.0;  // the largest relative error of a number of 8 bits

using ByAutograd = test::ByAutograd<LogisticRegression>;
using Counting = test::Counting<LogisticRegression>;

torch::Tensor rounded(const torch::Tensor& x) {
  return x.to(torch::kFloat).to(torch::kBFloat16).to(torch::kDouble);
}

/// A step's input: rows, their labels, and the parameters. `scale` is that of rows of bytes.
struct Problem {
  Problem(Rows given, int64_t classes, bool has_bias = true, std::optional<ByteScale> of_bytes = {})
      : rows(std::move(given)),
        scale(of_bytes),
        labels(torch::randint(classes, {rows.size()}, torch::kLong)) {
    const int64_t features = c10::multiply_integers(rows.row_shape());
    weight = torch::randn({classes, features}).mul_(0.3 / std::sqrt(static_cast<double>(features)));
    weight.requires_grad_();
    if (has_bias) bias = torch::randn({classes}).mul_(0.1).requires_grad_();
  }
  int64_t count() const { return rows.size(); }
  /// X', in float64.
  torch::Tensor rounded_rows() const {
    const auto x = rows.tensor().to(torch::kDouble);
    return scale ? (x / scale->scale + scale->zero_point).round() : rounded(x);
  }

  Rows rows;
  std::optional<ByteScale> scale;
  torch::Tensor labels;
  torch::Tensor weight;
  torch::Tensor bias{};
};

Rows bytes_of(int64_t rows, int64_t features, ByteScale scale) {
  return Rows(torch::randint(256, {rows, features}, torch::kByte), scale);
}

/// Every third row of `rows`, from the last one on, where they lie.
Rows some_of(const Rows& rows) {
  std::vector<int64_t> numbers;
  for (int64_t i = rows.size() - 1; i >= 0; i -= 3) numbers.push_back(i);
  Rows some;
  rows.select(numbers, some);
  return some;
}

Outcome outcome_of(Bfloat16SoftmaxLoss& softmax_loss, const Problem& problem) {
  EXPECT_TRUE(
      Bfloat16SoftmaxLoss::can_learn(problem.rows, problem.labels, problem.weight, problem.bias));
  const auto loss = softmax_loss(problem.rows, problem.labels, problem.weight, problem.bias);
  EXPECT_TRUE(softmax_loss.backward(loss));
  Outcome outcome{loss.item<double>(), {}};
  for (auto parameter : {problem.weight, problem.bias}) {
    if (!parameter.defined()) continue;
    outcome.gradients.push_back(parameter.grad().cpu().clone());
    parameter.mutable_grad().reset();
  }
  return outcome;
}

Outcome outcome_of(const Problem& problem, int64_t most_bytes = int64_t{1} << 30) {
  Bfloat16SoftmaxLoss softmax_loss(most_bytes);
  return outcome_of(softmax_loss, problem);
}

/// The formulas of the header in float64. `slack`, of the weight's shape, is how far the gradient
/// may be off because a number of G that is nearly between two bfloat16 numbers is rounded to the
/// other one.
struct Expected {
  explicit Expected(const Problem& problem) {
    const torch::NoGradGuard no_grad;
    const double scale = problem.scale ? problem.scale->scale : 1.0;
    const auto x = problem.rounded_rows() - (problem.scale ? problem.scale->zero_point : 0.0);
    const auto w = rounded(problem.weight);
    auto logits = x.mm(w.t()) * scale;
    if (problem.bias.defined()) logits += problem.bias.to(torch::kDouble);
    const auto log_probability = logits.log_softmax(1);
    outcome.loss = torch::nll_loss(log_probability, problem.labels).item<double>();
    const auto g = log_probability.exp() - torch::one_hot(problem.labels, w.size(0));
    const auto exact = g * (scale / static_cast<double>(problem.count()));
    outcome.gradients.push_back(rounded(exact).t().mm(x));
    if (problem.bias.defined()) outcome.gradients.push_back(g.mean(0));
    constexpr double kNear = 2e-5;
    const auto jump = (rounded(exact * (1.0 + kNear)) - rounded(exact * (1.0 - kNear))).abs();
    slack = jump.t().mm(x.abs());
  }
  Outcome outcome{};
  torch::Tensor slack{};
};

/// `problem` is what both are outcomes of.
void expect_near(const Outcome& actual, const Outcome& expected, const Problem& problem,
                 double tolerance) {
  const auto slack = Expected(problem).slack;
  EXPECT_NEAR(actual.loss, expected.loss, tolerance);
  ASSERT_EQ(actual.gradients.size(), expected.gradients.size());
  const auto off = (actual.gradients[0].to(torch::kDouble) - expected.gradients[0]).abs() - slack;
  EXPECT_LE(off.max().item<double>(), tolerance);
  EXPECT_LT(slack.mean().item<double>(), 1e-3) << "the comparison says nothing";
  if (actual.gradients.size() > 1) {
    EXPECT_TENSORS_NEAR(actual.gradients[1], expected.gradients[1], tolerance);
  }
}

TEST(Bfloat16SoftmaxLoss, is_the_formula_of_rounded_numbers) {
  seed_everything(1);
  for (const int64_t features : {1, 64, 784}) {
    for (const int64_t count : {1, 5, 128}) {
      for (const bool has_bias : {true, false}) {
        SCOPED_TRACE(::testing::Message() << count << " rows of " << features << ", " << has_bias);
        const Problem floats(torch::randn({count, features}), 10, has_bias);
        expect_near(outcome_of(floats), Expected(floats).outcome, floats, kSame);
      }
    }
  }
}

TEST(Bfloat16SoftmaxLoss, bytes_are_exact_and_their_scale_and_zero_point_are_folded_in) {
  seed_everything(2);
  for (const float zero_point : {0.0F, 127.5F}) {
    for (const float scale : {1.0F / 255.0F, 0.01F}) {
      for (const bool has_bias : {true, false}) {
        SCOPED_TRACE(::testing::Message() << scale << ", " << zero_point << ", " << has_bias);
        const ByteScale byte_scale{.scale = scale, .zero_point = zero_point};
        const auto all = bytes_of(150, 784, byte_scale);
        for (const Rows& rows : {all, some_of(all)}) {
          const Problem problem(rows, 10, has_bias, byte_scale);
          expect_near(outcome_of(problem), Expected(problem).outcome, problem, 2 * kSame);
        }
      }
    }
  }
}

// The bound follows from the roundings of the factors.
TEST(Bfloat16SoftmaxLoss, differs_from_float32_by_the_roundings_alone) {
  seed_everything(3);
  for (const bool are_bytes : {false, true}) {
    SCOPED_TRACE(are_bytes);
    Problem problem(are_bytes ? bytes_of(64, 300, {}) : Rows(torch::randn({64, 300})), 20);
    const auto actual = outcome_of(problem);
    const auto x = problem.rows.tensor();
    const auto loss =
        torch::cross_entropy_loss(torch::linear(x, problem.weight, problem.bias), problem.labels);
    const auto gradients = torch::autograd::grad({loss}, {problem.weight, problem.bias});
    const double roundings = are_bytes ? 1.01 : 2.01;
    const auto of_logits =
        x.abs().mm(problem.weight.detach().abs().t()).max().item<double>() * roundings * kRounding;
    EXPECT_NEAR(actual.loss, loss.item<double>(), 2.0 * of_logits);
    // Softmax: a probability moves by at most half of what the logits move.
    const double of_g = 0.5 * of_logits;
    const double of_weight = (of_g + roundings * kRounding) * x.abs().mean(0).max().item<double>();
    EXPECT_TENSORS_NEAR(actual.gradients[0], gradients[0], of_weight);
    EXPECT_TENSORS_NEAR(actual.gradients[1], gradients[1], of_g);
    const auto off = (actual.gradients[0] - gradients[0]).norm() / gradients[0].norm();
    EXPECT_LT(off.item<double>(), kRounding);
    EXPECT_GT(off.item<double>(), 1e-5) << "nothing was rounded";
  }
}

TEST(Bfloat16SoftmaxLoss, parts_of_a_batch_add_up) {
  seed_everything(4);
  const ByteScale scale{.scale = 1.0F / 255.0F, .zero_point = 127.5F};
  const auto bytes = bytes_of(101, 784, scale);
  for (const Problem& problem :
       {Problem(torch::randn({101, 784}), 10), Problem(bytes, 10, true, scale),
        Problem(some_of(bytes), 10, false, scale)}) {
    const auto whole = outcome_of(problem);
    for (const int64_t rows_a_part : {1, 7, 50, 200}) {
      expect_near(outcome_of(problem, rows_a_part * 784 * 4), whole, problem, 2 * kSame);
    }
  }
}

TEST(Bfloat16SoftmaxLoss, rows_of_other_types_and_shapes_are_those_of_their_float32_copy) {
  seed_everything(5);
  const Problem problem(torch::randint(256, {30, 12}, torch::kByte).to(torch::kFloat), 5);
  const auto expected = outcome_of(problem);
  const auto x = problem.rows.tensor();
  for (const torch::Tensor& other :
       {x.to(torch::kByte), x.to(torch::kShort), x.to(torch::kDouble), x.reshape({30, 3, 2, 2}),
        x.t().contiguous().t(), x.to(torch::kByte).reshape({30, 3, 4})}) {
    Problem same = problem;
    same.rows = other;
    expect_same(outcome_of(same), expected, 0.0);
  }
  Bfloat16SoftmaxLoss softmax_loss;
  const Rows narrow(torch::zeros({30, 11}));
  EXPECT_THROW(softmax_loss(narrow, problem.labels, problem.weight, problem.bias), DataError);
}

TEST(Bfloat16SoftmaxLoss, memory_that_is_kept_does_not_show) {
  seed_everything(6);
  Bfloat16SoftmaxLoss kept(40 * 20 * 4);
  for (const int64_t count : {40, 7, 100, 33, 1}) {
    const Problem problem(torch::randn({count, 20}), 3);
    expect_near(outcome_of(kept, problem), outcome_of(problem), problem, kSame);
  }
  const Problem other(torch::randn({40, 30}), 5);
  expect_near(outcome_of(kept, other), outcome_of(other), other, kSame);
}

TEST(Bfloat16SoftmaxLoss, a_loss_is_not_written_again) {
  Bfloat16SoftmaxLoss softmax_loss;
  const Problem problem(torch::randn({8, 20}), 3);
  const auto first = softmax_loss(problem.rows, problem.labels, problem.weight, problem.bias);
  const double before = first.item<double>();
  const Problem other(torch::randn({8, 20}), 3);
  for (int i = 0; i < 3; ++i) softmax_loss(other.rows, other.labels, other.weight, other.bias);
  EXPECT_EQ(first.item<double>(), before);
}

TEST(Bfloat16SoftmaxLoss, is_left_where_it_does_not_fit) {
  const Problem fine(torch::randn({8, 20}), 3);
  const auto fits = [&](const Rows& rows, const torch::Tensor& labels, const torch::Tensor& weight,
                        const torch::Tensor& bias) {
    return Bfloat16SoftmaxLoss::can_learn(rows, labels, weight, bias);
  };
  EXPECT_TRUE(fits(fine.rows, fine.labels, fine.weight, {}));
  EXPECT_FALSE(fits(fine.rows, fine.labels.narrow(0, 0, 7), fine.weight, {}));
  EXPECT_FALSE(fits(fine.rows.narrow(0, 0), fine.labels.narrow(0, 0, 0), fine.weight, {}));
  EXPECT_FALSE(fits(fine.rows, fine.labels, fine.weight.detach(), {}));
  EXPECT_FALSE(fits(fine.rows, fine.labels, fine.weight, fine.bias.detach()));
  const auto in_double = fine.weight.detach().to(torch::kDouble).requires_grad_();
  EXPECT_FALSE(fits(fine.rows, fine.labels, in_double, {}));
  const auto one_logit = torch::randn({1, 20}, torch::requires_grad());
  EXPECT_FALSE(fits(fine.rows, fine.labels, one_logit, {}));
  const auto needs_gradient = torch::randn({8, 20}, torch::requires_grad());
  EXPECT_FALSE(fits(needs_gradient, fine.labels, fine.weight, {}));
  const torch::NoGradGuard no_grad;
  EXPECT_FALSE(fits(fine.rows, fine.labels, fine.weight, fine.bias));
}

// --- through LogisticRegression -----------------------------------------------------------------

LogisticRegressionOptions options_of(int64_t features, int64_t classes,
                                     const std::string& products = "bfloat16") {
  return {.in_features = features, .num_classes = classes, .loss = "softmax", .products = products};
}

/// The gradient's distance from that of float32, as a share of its size.
double distance(const Outcome& a, const Outcome& b) {
  return ((a.gradients[0] - b.gradients[0]).norm() / b.gradients[0].norm()).item<double>();
}

TEST(Bfloat16Products, are_those_of_training_steps_and_of_nothing_else) {
  seed_everything(7);
  Counting model(options_of(50, 12));
  Counting exact(options_of(50, 12, "float32"));
  exact.load_state_dict(model.state_dict());
  const Batch batch = test::random_batch(40, 50, 12);
  for (const double weight : {1.0, 0.25}) {
    const double off = distance(step_of(model, batch, weight), step_of(exact, batch, weight));
    EXPECT_GT(off, 1e-5);
    EXPECT_LT(off, kRounding);
  }
  EXPECT_EQ(model.by_autograd, 0);
  EXPECT_TRUE(model.reads_rows_in_place());
  EXPECT_TRUE(model.forward(batch.input()).equal(exact.forward(batch.input())));
  StepRunner runner;
  EXPECT_EQ(runner.validate(model, batch).at("val_loss"),
            runner.validate(exact, batch).at("val_loss"));
}

TEST(Bfloat16Products, are_left_where_they_do_not_fit) {
  Counting in_double(options_of(20, 3));
  in_double.to(torch::kDouble);
  Batch batch = test::random_batch(40, 20, 3);
  batch.set("input", batch.input().to(torch::kDouble));
  step_of(in_double, batch);
  EXPECT_EQ(in_double.by_autograd, 1);
  EXPECT_FALSE(in_double.reads_rows_in_place());
}

TEST(Bfloat16Products, hooks_penalties_and_accumulation_work_as_without) {
  seed_everything(8);
  auto options = options_of(20, 3);
  Counting plain(options);
  options.l1_strength = 0.1;
  options.l2_strength = 0.2;
  Counting penalised(options);
  penalised.load_state_dict(plain.state_dict());
  const Batch batch = test::random_batch(40, 20, 3);
  const auto without = step_of(plain, batch);
  const auto with = step_of(penalised, batch);
  const auto weight = plain.parameters()[0].detach();
  EXPECT_TENSORS_NEAR(with.gradients[0], without.gradients[0] + 0.1 * weight.sign() + 0.4 * weight,
                      kSame);
  for (int i = 0; i < 3; ++i) plain.backward(StepRunner().train(plain, batch));
  EXPECT_TENSORS_NEAR(plain.parameters()[0].grad(), 3.0 * without.gradients[0], kSame);
  plain.parameters()[0].mutable_grad().reset();
  plain.parameters()[0].register_hook([](const torch::Tensor& gradient) { return gradient * 2; });
  EXPECT_TENSORS_NEAR(step_of(plain, batch).gradients[0], 2.0 * without.gradients[0], kSame);
}

TEST(Bfloat16Products, train_as_well_as_float32) {
  const auto test_accuracy = [](const std::string& products) {
    seed_everything(1);
    DigitsDataModule data;
    LogisticRegression model(
        {.in_features = 64, .num_classes = 10, .learning_rate = 0.01, .products = products});
    Trainer trainer({.accelerator = "cpu", .max_epochs = 20, .num_sanity_val_steps = 0});
    trainer.fit(model, data);
    return trainer.test(model, data).at("test_acc");
  };
  const double exact = test_accuracy("float32");
  EXPECT_GT(exact, 0.9);
  EXPECT_NEAR(test_accuracy("bfloat16"), exact, 0.01);
}

TEST(Bfloat16Products, are_an_option_by_name) {
  EXPECT_THROW(LogisticRegression(options_of(4, 3, "bfloat")), ConfigError);
  EXPECT_THROW(LogisticRegression({.in_features = 4, .num_classes = 2, .products = "bfloat16"}),
               ConfigError);
  const LogisticRegression model(options_of(4, 2));
  EXPECT_EQ(model.hyper_parameters().at("products").as_string(), "bfloat16");
  const LogisticRegression usual({.in_features = 4, .num_classes = 3});
  EXPECT_EQ(usual.hyper_parameters().at("products").as_string(), "float32");
}

// --- on a GPU -----------------------------------------------------------------------------------

class Bfloat16SoftmaxLossCuda : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device_count() == 0) GTEST_SKIP() << "needs a GPU";
  }
};

Problem on_gpu(const Problem& problem, const Rows& rows) {
  Problem moved = problem;
  moved.rows = rows;
  moved.labels = problem.labels.cuda();
  moved.weight = problem.weight.detach().cuda().requires_grad_();
  if (problem.bias.defined()) moved.bias = problem.bias.detach().cuda().requires_grad_();
  return moved;
}

TEST_F(Bfloat16SoftmaxLossCuda, is_what_the_cpu_computes) {
  seed_everything(9);
  for (const int64_t features : {7, 784, 10'000}) {
    for (const int64_t rows_a_part : {1000, 60}) {
      for (const bool has_bias : {true, false}) {
        SCOPED_TRACE(::testing::Message() << features << ", parts of " << rows_a_part);
        const Problem floats(torch::randn({200, features}), 10, has_bias);
        const auto most_bytes = rows_a_part * features * 2;
        const auto actual = outcome_of(on_gpu(floats, floats.rows.tensor().cuda()), most_bytes);
        expect_near(actual, outcome_of(floats), floats, 1e-5);

        const ByteScale scale{.scale = 1.0F / 255.0F, .zero_point = 127.5F};
        const auto all = bytes_of(600, features, scale);
        const Problem bytes(some_of(all), 10, has_bias, scale);
        const Rows there(all.source().cuda(), scale);
        const auto of_selected = outcome_of(on_gpu(bytes, some_of(there)), most_bytes);
        expect_near(of_selected, outcome_of(bytes), bytes, 1e-4);
      }
    }
  }
}

TEST_F(Bfloat16SoftmaxLossCuda, the_same_step_has_the_same_bits) {
  seed_everything(10);
  const Problem problem(torch::randn({300, 784}), 10);
  const auto there = on_gpu(problem, problem.rows.tensor().cuda());
  const auto first = outcome_of(there);
  expect_same(outcome_of(there), first, 0.0);
}

TEST_F(Bfloat16SoftmaxLossCuda, a_fit_learns_as_on_the_cpu) {
  const auto test_accuracy = [](const char* accelerator) {
    seed_everything(1);
    DigitsDataModule data;
    LogisticRegression model(
        {.in_features = 64, .num_classes = 10, .learning_rate = 0.01, .products = "bfloat16"});
    Trainer trainer({.accelerator = accelerator, .max_epochs = 20, .num_sanity_val_steps = 0});
    trainer.fit(model, data);
    return trainer.test(model, data).at("test_acc");
  };
  EXPECT_NEAR(test_accuracy("gpu"), test_accuracy("cpu"), 0.01);
}

}  // namespace levin::bfloat16_softmax_loss_test
