#include <levin/framework/threads/step_work.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include <ATen/SparseCsrTensorUtils.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/function_schema.h>
#include <ATen/core/ivalue.h>
#include <ATen/record_function.h>

#include <levin/framework/threads/shared_work.h>

namespace levin {

namespace {

constexpr double kSecondsAFlop = 1.0 / 50e9;
constexpr double kSecondsAnElement = 1e-9;
constexpr double kSecondsAShare = 30e-6;
// LibTorch runs operations on fewer elements on one thread: at::internal::GRAIN_SIZE.
constexpr int64_t kLeastElements = 32'768;
constexpr double kLeastFlops = 2e5;

}  // namespace

/// An operation that has begun. Its inputs are known when it begins, its outputs when it ends.
struct StepWork::Operation {
  double flops = 0.0;            // in products and convolutions
  double flops_an_output = 0.0;  // the same, for each element of the output
  int64_t elements = 0;          // of the largest input
  bool does_nothing = false;
  bool has_counted_parts = false;
};

struct StepWork::Counts {
  // Both in seconds of one thread: the operations that LibTorch shares, and those that it runs on
  // one thread whatever is set.
  double shared = 0.0;
  double alone = 0.0;
  int64_t shares = 0;  // operations that are shared
  double flops = 0.0;
  std::vector<Operation> begun;
};

namespace {

thread_local StepWork::Counts* counts = nullptr;

at::Tensor tensor_at(c10::ArrayRef<const c10::IValue> values, size_t index) {
  return index < values.size() && values[index].isTensor() ? values[index].toTensor()
                                                           : at::Tensor();
}

// The numbers that a tensor stores. A sparse CSR tensor has far fewer than rows times columns.
int64_t stored(const at::Tensor& tensor) {
  if (!tensor.defined()) return 0;
  if (tensor.layout() != at::kSparseCsr) return tensor.numel();
  return at::sparse_csr::get_sparse_csr_impl(tensor)->nnz();
}

// The floating-point operations of the product a . b, of matrices or of batches of them.
double product(const at::Tensor& a, const at::Tensor& b) {
  if (!a.defined() || !b.defined() || b.dim() == 0) return 0.0;
  return 2.0 * static_cast<double>(stored(a)) * static_cast<double>(b.size(-1));
}

// Those of an element of a convolution's output: it is a product with one of the filters.
double filter(const at::Tensor& weight) {
  if (!weight.defined() || weight.dim() == 0 || weight.size(0) == 0) return 0.0;
  return 2.0 * static_cast<double>(weight.numel()) / static_cast<double>(weight.size(0));
}

int64_t elements(const c10::IValue& value) {
  if (value.isTensor()) return stored(value.toTensor());
  if (!value.isTensorList()) return 0;
  int64_t sum = 0;
  for (const at::Tensor& tensor : value.toTensorList()) {
    sum += stored(tensor);
  }
  return sum;
}

// Whether an operation only makes a view or takes memory. Parts of operations that have no schema
// are counted with the operation.
bool does_nothing(const at::RecordFunction& operation) {
  const std::string_view name = operation.name();
  for (const auto* allocation : {"aten::empty", "aten::new_empty", "aten::resize_"}) {
    if (name.starts_with(allocation)) return true;
  }
  const auto schema = operation.operator_schema();
  if (!schema) return true;
  for (const auto& argument : schema->arguments()) {
    if (argument.alias_info() != nullptr) return !argument.alias_info()->isWrite();
  }
  return false;
}

std::unique_ptr<at::ObserverContext> begin_operation(const at::RecordFunction& operation) {
  if (counts == nullptr) return nullptr;
  auto& own = counts->begun.emplace_back();
  const std::string_view name = operation.name();
  const auto in = operation.inputs();
  own.does_nothing = does_nothing(operation);
  for (const auto& value : in) own.elements = std::max(own.elements, elements(value));
  if (name == "aten::mm" || name == "aten::bmm") {
    own.flops = product(tensor_at(in, 0), tensor_at(in, 1));
  } else if (name == "aten::addmm" || name == "aten::baddbmm") {
    own.flops = product(tensor_at(in, 1), tensor_at(in, 2));
  } else if (name == "aten::convolution") {
    own.flops_an_output = filter(tensor_at(in, 1));
  } else if (name == "aten::convolution_backward") {  // two products for each gradient
    const auto gradient = tensor_at(in, 0);
    const double outputs = gradient.defined() ? static_cast<double>(gradient.numel()) : 0.0;
    own.flops = 2.0 * outputs * filter(tensor_at(in, 2));
  }
  return nullptr;
}

// Many operations consist of others, so only the innermost ones are counted, besides products and
// convolutions, whose parts don't tell how large they are.
void end_operation(const at::RecordFunction& operation, at::ObserverContext* /*context*/) {
  if (counts == nullptr || counts->begun.empty()) return;
  StepWork::Operation own = counts->begun.back();
  counts->begun.pop_back();
  int64_t outputs = 0;
  for (const auto& value : operation.outputs()) outputs = std::max(outputs, elements(value));
  own.flops += own.flops_an_output * static_cast<double>(outputs);
  const bool is_counted =
      !is_sharing_out() && (own.flops > 0.0 || !(own.has_counted_parts || own.does_nothing));
  if (is_counted) {
    const int64_t size = own.flops > 0.0 ? 0 : std::max(own.elements, outputs);
    const bool is_shared = own.flops > kLeastFlops || size > kLeastElements;
    (is_shared ? counts->shared : counts->alone) +=
        kSecondsAFlop * own.flops + kSecondsAnElement * static_cast<double>(size);
    if (is_shared) ++counts->shares;
    counts->flops += own.flops;
  }
  if (counts->begun.empty()) return;
  counts->begun.back().has_counted_parts |= is_counted || own.has_counted_parts;
}

}  // namespace

StepWork::StepWork() : counts_(std::make_unique<Counts>()) {
  counts = counts_.get();
  handle_ = at::addThreadLocalCallback(at::RecordFunctionCallback(begin_operation, end_operation)
                                           .needsInputs(true)
                                           .needsOutputs(true)
                                           .scopes({at::RecordScope::FUNCTION}));
}

StepWork::~StepWork() {
  at::removeCallback(handle_);
  counts = nullptr;
}

double StepWork::flops() const { return counts_->flops; }

double StepWork::seconds(int threads) const {
  const double shares = threads > 1 ? static_cast<double>(counts_->shares) : 0.0;
  return counts_->alone + counts_->shared / threads + kSecondsAShare * shares;
}

}  // namespace levin
