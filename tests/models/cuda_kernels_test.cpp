#include <gtest/gtest.h>

#include <torch/torch.h>

#include <levin/framework/data/rows.h>
#include <levin/framework/kernels/cuda/kernels.h>
#include <levin/framework/optimizers/all.h>
#include <levin/framework/tensor/device.h>
#include <levin/framework/tensor/device_graph.h>
#include <levin/models/softmax_loss.h>

// The CUDA kernels beside their twins: operations of LibTorch's, in float64 where they round.

namespace levin::cuda_kernels_test {

class KernelsCuda : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device_count() == 0) GTEST_SKIP() << "needs a GPU";
    if (!kernels::cuda::are_built()) GTEST_SKIP() << "this build has no CUDA kernels";
    torch::manual_seed(7);
  }
  at::Device gpu_{at::kCUDA, 0};
};

double relative_error(const torch::Tensor& result, const torch::Tensor& expected) {
  const auto wide = expected.to(torch::kCPU, torch::kDouble);
  const auto difference = (result.to(torch::kCPU, torch::kDouble) - wide).norm();
  return (difference / wide.norm().clamp_min(1e-30)).item<double>();
}

/// A case of softmax regression: rows picked from a table, with or without bytes and a bias.
struct Case {
  int64_t rows, features, classes;
  bool bytes, bias, picked;
};

void expect_as_by_autograd(const Case& c, at::Device gpu) {
  SCOPED_TRACE(testing::Message() << c.rows << " x " << c.features << " x " << c.classes
                                  << (c.bytes ? " bytes" : "") << (c.bias ? " bias" : "")
                                  << (c.picked ? " picked" : ""));
  const int64_t all = c.picked ? 2 * c.rows + 3 : c.rows;
  const ByteScale scale{.scale = 1.0F / 64.0F, .zero_point = 3.0F};
  const auto table = c.bytes ? torch::randint(256, {all, c.features}, torch::kByte)
                             : torch::randn({all, c.features});
  const auto numbers =
      c.picked ? torch::randint(all, {c.rows}, torch::kLong) : torch::arange(c.rows, torch::kLong);
  const auto labels = torch::randint(c.classes, {c.rows}, torch::kLong);
  const auto weight = (0.1 * torch::randn({c.classes, c.features})).to(gpu).set_requires_grad(true);
  const auto bias =
      c.bias ? torch::randn({c.classes}).to(gpu).set_requires_grad(true) : torch::Tensor();

  const Rows source = c.bytes ? Rows(table.to(gpu), scale) : Rows(table.to(gpu));
  Rows rows = source;
  if (c.picked) source.select(numbers.to(gpu), rows);
  const auto view = SoftmaxLoss::view(rows, weight, bias);
  ASSERT_TRUE(view);
  SoftmaxLoss softmax_loss;
  const auto loss = softmax_loss(*view, labels.to(gpu), weight, bias);
  ASSERT_TRUE(softmax_loss.backward(loss));

  auto x = table.index_select(0, numbers).to(torch::kDouble);
  if (c.bytes) x = (x - 3.0) / 64.0;
  const auto w = weight.detach().to(torch::kCPU, torch::kDouble).set_requires_grad(true);
  auto logits = x.mm(w.t());
  torch::Tensor b;
  if (c.bias) {
    b = bias.detach().to(torch::kCPU, torch::kDouble).set_requires_grad(true);
    logits = logits + b;
  }
  const auto expected = torch::cross_entropy_loss(logits, labels);
  expected.backward();
  EXPECT_LT(relative_error(loss.detach(), expected.detach()), 1e-5);
  EXPECT_LT(relative_error(weight.grad(), w.grad()), 1e-5);
  if (c.bias) {
    EXPECT_LT(relative_error(bias.grad(), b.grad()), 1e-5);
  }
}

TEST_F(KernelsCuda, softmax_regression_gives_the_loss_and_gradients_of_autograd) {
  const Case cases[] = {{128, 784, 10, false, true, true},   {128, 784, 10, true, true, true},
                        {128, 784, 10, false, false, false}, {1, 1, 2, false, true, false},
                        {5, 3, 3, false, true, true},        {7, 13, 5, true, true, true},
                        {33, 65, 4, false, true, true},      {4096, 784, 10, true, true, true},
                        {1000, 100, 10, false, true, true},  {600, 20'000, 7, true, true, false},
                        {90, 20'000, 10, false, true, true}, {64, 36, 64, false, true, true},
                        {513, 12, 11, true, false, true}};
  for (const auto& c : cases) expect_as_by_autograd(c, gpu_);
}

TEST_F(KernelsCuda, softmax_regression_has_the_same_bits_each_time_and_passes_nan_on) {
  const auto x = torch::randn({300, 50}, gpu_);
  const auto labels = torch::randint(10, {300}, torch::kLong).to(gpu_);
  const auto weight = torch::randn({10, 50}, gpu_).set_requires_grad(true);
  const auto run = [&](const Rows& rows) {
    SoftmaxLoss softmax_loss;
    weight.mutable_grad().reset();
    const auto loss = softmax_loss(*SoftmaxLoss::view(rows, weight, {}), labels, weight, {});
    softmax_loss.backward(loss);
    return std::pair(loss.detach(), weight.grad().clone());
  };
  const auto first = run(Rows(x));
  const auto second = run(Rows(x));
  EXPECT_TRUE(torch::equal(first.first, second.first));
  EXPECT_TRUE(torch::equal(first.second, second.second));
  auto broken = x.clone();
  broken[17][4] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(run(Rows(broken)).first.isnan().item<bool>());
}

TEST_F(KernelsCuda, rows_are_gathered_as_by_index_select) {
  for (const int64_t features : {1, 3, 4, 31, 784, 1000}) {
    SCOPED_TRACE(features);
    const auto numbers = torch::randint(90, {40}, torch::kLong);
    const auto floats = torch::randn({90, features});
    Rows chosen;
    Rows(floats.to(gpu_)).select(numbers.to(gpu_), chosen);
    EXPECT_TRUE(torch::equal(chosen.tensor().cpu(), floats.index_select(0, numbers)));
    const auto bytes = torch::randint(256, {90, features}, torch::kByte);
    Rows(bytes.to(gpu_), {.scale = 0.1F, .zero_point = 7.0F}).select(numbers.to(gpu_), chosen);
    const auto expected = bytes.index_select(0, numbers).to(torch::kFloat).sub_(7.0F).mul_(0.1F);
    EXPECT_TRUE(torch::equal(chosen.tensor().cpu(), expected));

    const auto narrow = torch::full({40, features}, -1.0F, torch::kBFloat16).to(gpu_);
    kernels::cuda::gather_rows_bf16(*chosen.device_view(), narrow.mutable_data_ptr(),
                                    current_stream(gpu_));
    EXPECT_TRUE(torch::equal(narrow.cpu(), bytes.index_select(0, numbers).to(torch::kBFloat16)));
    Rows(floats.to(gpu_)).select(numbers.to(gpu_), chosen);
    kernels::cuda::gather_rows_bf16(*chosen.device_view(), narrow.mutable_data_ptr(),
                                    current_stream(gpu_));
    EXPECT_TRUE(torch::equal(narrow.cpu(), floats.index_select(0, numbers).to(torch::kBFloat16)));
  }
}

TEST_F(KernelsCuda, rows_are_taken_in_order_with_their_words) {
  const auto order = torch::randperm(5000, torch::kLong).to(gpu_);
  const auto cursor = torch::full({1}, 100, torch::kLong).to(gpu_);
  const auto labels = torch::randint(1000, {5000}, torch::kLong).to(gpu_);
  const auto weights = torch::rand({5000}).to(gpu_);
  const auto marks = torch::randint(256, {5000}, torch::kByte).to(gpu_);
  const int64_t count = 1300;  // more than a block has threads
  const auto numbers = torch::full({count}, -1, torch::kLong).to(gpu_);
  const auto out = torch::full({count}, -1, torch::kLong).to(gpu_);
  const auto out_weights = torch::full({count}, -1.0F).to(gpu_);
  const auto out_marks = torch::zeros({count}, torch::kByte).to(gpu_);
  const kernels::cuda::Words words[] = {
      {labels.const_data_ptr(), out.mutable_data_ptr(), 8},
      {weights.const_data_ptr(), out_weights.mutable_data_ptr(), 4},
      {marks.const_data_ptr(), out_marks.mutable_data_ptr(), 1}};
  for (int64_t first = 100; first + count <= 5000; first += count) {
    kernels::cuda::take_rows({.order = order.const_data_ptr<int64_t>(),
                              .cursor = cursor.mutable_data_ptr<int64_t>(),
                              .count = count,
                              .numbers = numbers.mutable_data_ptr<int64_t>(),
                              .words = words},
                             current_stream(gpu_));
    const auto expected = order.narrow(0, first, count);
    EXPECT_TRUE(torch::equal(numbers, expected));
    EXPECT_TRUE(torch::equal(out, labels.index_select(0, expected)));
    EXPECT_TRUE(torch::equal(out_weights, weights.index_select(0, expected)));
    EXPECT_TRUE(torch::equal(out_marks, marks.index_select(0, expected)));
    EXPECT_EQ(cursor.item<int64_t>(), first + count);
  }
}

TEST_F(KernelsCuda, a_logged_value_is_added_as_on_the_host) {
  double window = 0.0;
  double epoch = 0.0;
  const auto on_device = torch::zeros({2}, torch::kDouble).to(gpu_);
  double* sums = on_device.mutable_data_ptr<double>();
  auto parameter = torch::zeros({3000}).to(gpu_).set_requires_grad(true);
  Adam adam({parameter}, {});
  SGD sgd({parameter}, {.learning_rate = 0.1});
  for (int i = 0; i < 50; ++i) {
    const auto value = torch::rand({});
    const double weight = 3.0 + i;
    const double product = static_cast<double>(value.item<float>()) * weight;
    window = product;
    epoch += product;
    const auto there = value.to(gpu_);
    const kernels::cuda::LogValue log{there.const_data_ptr<float>(), weight, sums, sums + 1};
    if (i % 3 == 0) {
      kernels::cuda::log_value(log, current_stream(gpu_));
    } else {
      kernels::cuda::defer_log_value(log, current_stream(gpu_));
    }
    if (i % 3 == 1) kernels::cuda::log_deferred(current_stream(gpu_));
    if (i % 3 == 2) {  // beside an optimizer's step
      parameter.mutable_grad() = torch::ones_like(parameter.detach());
      (i % 2 == 0 ? static_cast<Optimizer&>(adam) : sgd).step();
    }
  }
  EXPECT_EQ(on_device[0].item<double>(), window);
  EXPECT_EQ(on_device[1].item<double>(), epoch);
}

class DeviceGraphCuda : public KernelsCuda {};

TEST_F(DeviceGraphCuda, repeats_what_was_recorded) {
  const auto graph = make_device_graph(gpu_);
  ASSERT_NE(graph, nullptr);
  const auto x = torch::zeros({4}).to(gpu_);
  torch::Tensor doubled;
  graph->record([&] {
    x.add_(1.0);
    doubled = x * 2.0;
  });
  EXPECT_EQ(x.sum().item<float>(), 0.0F) << "recording runs nothing";
  for (int i = 0; i < 3; ++i) graph->replay();
  EXPECT_EQ(x.sum().item<float>(), 12.0F);
  EXPECT_EQ(doubled.sum().item<float>(), 24.0F);
  const auto failing = make_device_graph(gpu_);
  EXPECT_THROW(failing->record([&] { x.sum().item<float>(); }), c10::Error);
  EXPECT_EQ(x.sum().item<float>(), 12.0F) << "the device works on";
}

}  // namespace levin::cuda_kernels_test
