// Sparse rows on a GPU: the kernels for them, and what uses these. What uses them also runs on the
// CPU, by the kernels' twins; the twins themselves are tested in tests/framework/kernels.
#include "models/support.h"

#include <list>
#include <vector>

#include <levin/datamodules/array.h>
#include <levin/framework/data/sparse_rows.h>
#include <levin/framework/kernels/cuda/kernels.h>
#include <levin/framework/optimizers/all.h>
#include <levin/framework/optimizers/sparse_numbers.h>
#include <levin/framework/tensor/device.h>
#include <levin/framework/tensor/device_graph.h>
#include <levin/framework/tensor/random.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/linear.h>
#include <levin/models/logistic_regression.h>
#include <levin/models/mlp.h>
#include <levin/models/sparse_device.h>
#include <levin/models/sparse_gradient.h>
#include <levin/models/sparse_linear.h>

#include "framework/kernels/sparse_cuda_checks.h"
#include "framework/temporary_folder.h"

namespace levin::sparse_cuda_test {

namespace checks = kernels::cuda::sparse_checks;
using checks::OnCpu;

/// Restores what LibTorch was told about deterministic algorithms.
class Deterministic {
 public:
  explicit Deterministic(bool is_on) {
    at::globalContext().setDeterministicAlgorithms(is_on, false);
  }
  ~Deterministic() { at::globalContext().setDeterministicAlgorithms(false, false); }
};

/// A batch of sparse rows, some of them empty, with weights and a bias on a device.
struct SparseCase {
  SparseCase(int64_t outputs, bool has_values, at::Device device) {
    torch::manual_seed(5);
    dense = torch::rand({90, 70}).add(0.5) * torch::rand({90, 70}).lt(0.15);
    if (!has_values) dense = dense.gt(0).to(torch::kFloat);
    dense.select(1, 0).fill_(1.0F);  // a column that all rows have
    dense[7].zero_();
    const Rows all(dense.to_sparse_csr());
    const auto own =
        Rows::sparse(all.source(), all.indices(), has_values ? all.values() : torch::Tensor(), 70);
    rows = own.to(device);
    labels = torch::randint(std::max<int64_t>(outputs, 2), {90}, torch::kLong).to(device);
    weight = torch::randn({outputs, 70}).to(device).set_requires_grad(true);
    bias = torch::randn({outputs}).to(device).set_requires_grad(true);
    outer = torch::randn({90, outputs}).to(device);
  }
  torch::Tensor exact_loss() {
    const auto logits = dense.to(torch::kDouble).mm(exact_weight.t()) + exact_bias;
    return logits.size(1) > 1 ? torch::cross_entropy_loss(logits, labels.cpu())
                              : torch::binary_cross_entropy_with_logits(
                                    logits.squeeze(1), labels.cpu().to(torch::kDouble));
  }
  torch::Tensor dense;
  Rows rows;
  torch::Tensor labels, weight, bias, outer;
  torch::Tensor exact_weight, exact_bias;
};

double relative_error(const torch::Tensor& result, const torch::Tensor& expected) {
  const auto wide = expected.to(torch::kCPU, torch::kDouble);
  const auto difference = (result.to(torch::kCPU, torch::kDouble) - wide).norm();
  return (difference / wide.norm().clamp_min(1e-30)).item<double>();
}

/// The loss and gradients of a pass are those of autograd in float64, in either mode.
void check_class_loss(at::Device device) {
  for (const int64_t outputs : {1, 2, 10}) {
    for (const bool has_values : {true, false}) {
      for (const bool in_order : {false, true}) {
        SCOPED_TRACE(testing::Message()
                     << outputs << (has_values ? " values" : "") << (in_order ? " in order" : ""));
        const Deterministic mode(in_order);
        SparseCase b(outputs, has_values, device);
        b.exact_weight = b.weight.detach().to(torch::kCPU, torch::kDouble).set_requires_grad(true);
        b.exact_bias = b.bias.detach().to(torch::kCPU, torch::kDouble).set_requires_grad(true);
        ASSERT_TRUE(SparseClassLoss::can_learn(b.rows, b.labels, b.weight, b.bias));
        SparseClassLoss loss_of;
        const auto loss = loss_of(b.rows, b.labels, b.weight, b.bias);
        ASSERT_TRUE(loss_of.backward(loss));
        const auto expected = b.exact_loss();
        expected.backward();
        EXPECT_LT(relative_error(loss.detach(), expected.detach()), 1e-5);
        EXPECT_LT(relative_error(b.weight.grad(), b.exact_weight.grad()), 1e-5);
        EXPECT_LT(relative_error(b.bias.grad(), b.exact_bias.grad()), 1e-5);
      }
    }
  }
}

/// Products and gradients, dense and sparse, are those of dense rows.
void check_products(at::Device device) {
  for (const int64_t outputs : {1, 3, 40}) {
    for (const bool in_order : {false, true}) {
      const Deterministic mode(in_order);
      const SparseCase b(outputs, true, device);
      const auto x = b.rows.tensor();
      const auto exact = b.dense.to(torch::kDouble);
      const auto gradient = b.outer.cpu().to(torch::kDouble).t().mm(exact);
      const auto weight = b.weight.detach();
      EXPECT_LT(relative_error(sparse_device::product(x, weight),
                               exact.mm(weight.cpu().to(torch::kDouble).t())),
                1e-6);
      EXPECT_LT(relative_error(sparse_device::transposed_product(x, b.outer), gradient), 1e-6);
      const auto sparse = sparse_device::sparse_gradient(x, b.outer);
      EXPECT_TRUE(sparse.is_coalesced());
      EXPECT_TRUE(torch::equal(
          sparse._indices().cpu(),
          sparse_weight_gradient(b.rows.to(at::kCPU).tensor(), b.outer.cpu())._indices()));
      EXPECT_LT(relative_error(sparse.to_dense(), gradient), 1e-6);
      if (in_order) {
        EXPECT_TRUE(torch::equal(sparse_device::transposed_product(x, b.outer), sparse.to_dense()));
      }
    }
  }
}

/// Steps of sparse gradients are those of LibTorch's operations.
void check_steps(at::Device device) {
  const SparseCase b(3, true, device);
  const auto gradient = sparse_device::sparse_gradient(b.rows.tensor(), b.outer);
  const auto dense = gradient.to_dense();
  auto weight = b.weight.detach().clone();
  step_on_device(weight, {}, gradient, 0.25);
  EXPECT_LT(relative_error(weight, b.weight.detach() - 0.25 * dense), 1e-6);
  const auto before = torch::rand({3, 70}).to(device);
  auto squares = before.clone();
  weight.copy_(b.weight.detach());
  const auto version = weight._version();
  step_on_device(weight, squares, gradient, 0.25, 1e-8);
  EXPECT_GT(weight._version(), version);
  const auto sums = before + dense.square();
  EXPECT_LT(relative_error(squares, sums), 1e-6);
  EXPECT_LT(relative_error(weight, b.weight.detach() - 0.25 * dense / (sums.sqrt() + 1e-8)), 1e-6);
}

TEST(SparseDevice, a_class_loss_gives_the_loss_and_gradients_of_autograd) {
  check_class_loss(at::kCPU);
}
TEST(SparseDevice, products_are_those_of_dense_rows) { check_products(at::kCPU); }
TEST(SparseDevice, steps_are_those_of_dense_gradients) { check_steps(at::kCPU); }

TEST(SparseDevice, a_class_loss_is_left_to_others_if_the_pass_does_not_fit) {
  const SparseCase b(3, true, at::kCPU);
  const auto fits = [&b](const Rows& rows, const torch::Tensor& labels,
                         const torch::Tensor& weight) {
    return SparseClassLoss::can_learn(rows, labels, weight, b.bias);
  };
  EXPECT_TRUE(fits(b.rows, b.labels, b.weight));
  EXPECT_FALSE(fits(Rows(b.dense), b.labels, b.weight));
  EXPECT_FALSE(fits(b.rows, b.labels.narrow(0, 0, 9), b.weight));
  EXPECT_FALSE(fits(b.rows, b.labels.to(torch::kInt), b.weight));
  EXPECT_FALSE(fits(b.rows, b.labels, torch::randn({3, 71}).set_requires_grad(true)));
  EXPECT_FALSE(fits(b.rows, b.labels, torch::randn({65, 70}).set_requires_grad(true)));
  EXPECT_FALSE(
      fits(b.rows, b.labels, b.weight.detach().to(torch::kDouble).set_requires_grad(true)));
  Rows chosen;
  b.rows.select(std::vector<int64_t>{1, 2}, chosen);
  EXPECT_FALSE(fits(chosen, b.labels.narrow(0, 0, 2), b.weight));
  const torch::NoGradGuard no_grad;
  EXPECT_FALSE(fits(b.rows, b.labels, b.weight));
}

// --- on a GPU ---

/// Arrays on the GPU.
class OnGpu {
 public:
  template <class T>
  T* put(const std::vector<T>& numbers) {
    const auto bytes = static_cast<int64_t>(numbers.size() * sizeof(T));
    auto on_host = torch::empty({bytes}, torch::kByte);
    if (bytes > 0)
      std::memcpy(on_host.mutable_data_ptr(), numbers.data(), numbers.size() * sizeof(T));
    return static_cast<T*>(memory_.emplace_back(on_host.to(gpu_)).mutable_data_ptr());
  }
  checks::Floats get(const float* from, size_t count) const {
    const auto there = torch::from_blob(const_cast<float*>(from), {static_cast<int64_t>(count)},
                                        torch::TensorOptions(gpu_).dtype(torch::kFloat))
                           .cpu();
    return {there.const_data_ptr<float>(), there.const_data_ptr<float>() + count};
  }
  void run(const kernels::cuda::SparseProduct& x) const { sparse_product(x, stream()); }
  void run(const kernels::cuda::SparseScatter& x) const { sparse_scatter(x, stream()); }
  void run(const kernels::cuda::SparseSums& x) const { sparse_sums(x, stream()); }
  void run(const kernels::cuda::SparseRegression& x) const { sparse_regression(x, stream()); }
  void run(const kernels::cuda::SparseStep& x) const { sparse_step(x, stream()); }

 private:
  void* stream() const { return current_stream(gpu_); }
  at::Device gpu_{at::kCUDA, 0};
  std::list<torch::Tensor> memory_;
};

class SparseKernelsCuda : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device_count() == 0) GTEST_SKIP() << "needs a GPU";
    if (!kernels::cuda::are_built()) GTEST_SKIP() << "this build has no CUDA kernels";
  }
  static void for_cases(void (*check)(const checks::Case&)) {
    for (const auto& c : checks::cases()) {
      SCOPED_TRACE(checks::name_of(c));
      check(c);
    }
  }
  at::Device gpu_{at::kCUDA, 0};
};

TEST_F(SparseKernelsCuda, products_are_those_in_float64) {
  for_cases(checks::check_product<OnGpu>);
}
TEST_F(SparseKernelsCuda, gradients_are_added_to) { for_cases(checks::check_scatter<OnGpu>); }
TEST_F(SparseKernelsCuda, sums_by_columns_are_those_in_float64_and_touch_no_other_place) {
  for_cases(checks::check_sums<OnGpu>);
}
TEST_F(SparseKernelsCuda, a_pass_gives_the_mean_loss_and_its_derivatives) {
  for_cases(checks::check_regression<OnGpu>);
}
TEST_F(SparseKernelsCuda, nan_passes_on) { checks::check_that_nan_passes<OnGpu>(); }
TEST_F(SparseKernelsCuda, products_and_sums_have_the_bits_of_their_twins) {
  for_cases(checks::check_bits<OnGpu>);
}
TEST_F(SparseKernelsCuda, steps_have_the_bits_of_their_twins) {
  for (const bool has_squares : {false, true}) {
    OnGpu gpu;
    OnCpu cpu;
    EXPECT_EQ(checks::step_by(gpu, has_squares, true), checks::step_by(cpu, has_squares, true));
  }
}
TEST_F(SparseKernelsCuda, a_class_loss_gives_the_loss_and_gradients_of_autograd) {
  check_class_loss(gpu_);
}
TEST_F(SparseKernelsCuda, layers_and_steps_are_those_of_dense_rows) {
  check_products(gpu_);
  check_steps(gpu_);
}

class SparseTrainingCuda : public SparseKernelsCuda {};

/// The weights after a fit, and its predictions.
std::pair<torch::Tensor, torch::Tensor> trained(LogisticRegressionOptions options,
                                                const std::string& device, bool deterministic) {
  const test::TemporaryFolder folder;
  torch::manual_seed(21);
  const auto x = torch::randn({230, 60}) * torch::rand({230, 60}).lt(0.1);
  const auto y = x.mm(torch::randn({60, options.num_classes})).argmax(1);
  ArrayDataModule data(x.to_sparse_csr(), y, {.batch_size = 16});
  seed_everything(4);
  options.in_features = 60;
  options.learning_rate = 0.05;
  LogisticRegression model(options);
  Trainer trainer({.accelerator = device,
                   .devices = 1,
                   .max_epochs = 3,
                   .deterministic = deterministic,
                   .default_root_dir = folder.string()});
  trainer.fit(model, data);
  return {model.named_parameters()["linear.weight"].detach().cpu(),
          trainer.predict(model, data)[1].second.cpu()};
}

TEST_F(SparseTrainingCuda, gives_what_the_cpu_gives_and_the_same_bits_if_it_is_deterministic) {
  for (const int64_t classes : {2, 4}) {
    for (const std::string optimizer : {"Adam", "SGD", "Adagrad"}) {
      for (const bool sparse : {false, true}) {
        if (sparse && optimizer == "Adam") continue;
        SCOPED_TRACE(testing::Message()
                     << classes << " " << optimizer << (sparse ? " sparse" : ""));
        const LogisticRegressionOptions options{
            .num_classes = classes, .optimizer = optimizer, .sparse_gradients = sparse};
        const auto expected = trained(options, "cpu", false);
        const auto found = trained(options, "gpu", false);
        EXPECT_LT(relative_error(found.first, expected.first), 1e-4);
        EXPECT_LT(relative_error(found.second, expected.second), 1e-4);
        const auto first = trained(options, "gpu", true);
        EXPECT_LT(relative_error(first.first, expected.first), 1e-4);
        EXPECT_TRUE(torch::equal(first.first, trained(options, "gpu", true).first));
      }
    }
  }
}

}  // namespace levin::sparse_cuda_test
