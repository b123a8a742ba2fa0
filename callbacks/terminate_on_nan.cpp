#include <levin/callbacks/terminate_on_nan.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/framework/core/unsigned_nan.h>
#include <levin/framework/optimizers/optimizer.h>
#include <levin/framework/run/step.h>

namespace levin {
namespace {

constexpr size_t kRowsNamed = 10;

/// "rows 3 to 6", "row 7", or "rows 2, 9, 4 and 61 others".
std::string rows_in_words(const std::vector<int64_t>& rows) {
  if (rows.size() == 1) return fmt::format("row {}", rows.front());
  bool is_range = true;
  for (size_t i = 1; i < rows.size(); ++i) is_range = is_range && rows[i] == rows[i - 1] + 1;
  if (is_range) return fmt::format("rows {} to {}", rows.front(), rows.back());
  const size_t shown = std::min(rows.size(), kRowsNamed);
  std::string text = fmt::format(
      "rows {}", fmt::join(rows.begin(), rows.begin() + static_cast<int64_t>(shown), ", "));
  if (shown < rows.size()) text += fmt::format(" and {} others", rows.size() - shown);
  return text;
}

/// The places in the batch of the rows of `tensor` that have a value that isn't finite.
std::vector<int64_t> bad_rows(torch::Tensor tensor) {
  if (tensor.layout() != at::kStrided || !tensor.is_floating_point() || tensor.numel() == 0)
    return {};
  const auto flat = tensor.detach().reshape({tensor.size(0), -1});
  const auto places = at::isfinite(flat).all(1).logical_not().nonzero().flatten().to(at::kCPU);
  const int64_t* data = places.const_data_ptr<int64_t>();
  return {data, data + places.numel()};
}

/// The rows of the batch, and those that have values that aren't finite.
std::string describe_rows(const Batch& batch) {
  const auto& ids = batch.row_ids();
  std::string text =
      ids.empty() ? fmt::format("the batch has {} rows, whose numbers aren't known", batch.rows())
                  : fmt::format("the batch has the {} of the data set", rows_in_words(ids));
  for (const auto& [name, tensor] : batch.tensors()) {
    std::vector<int64_t> bad = bad_rows(tensor);
    if (bad.empty()) continue;
    if (!ids.empty()) {
      for (auto& row : bad) row = ids.at(static_cast<size_t>(row));
    }
    text += fmt::format(", of which {} {} a NaN or infinite value in \"{}\"", rows_in_words(bad),
                        bad.size() == 1 ? "has" : "have", name);
  }
  return text;
}

bool has_bad_gradients(const Optimizer& optimizer) {
  for (const auto& tensor : optimizer.stepped()) {
    const auto& gradient = tensor.grad();
    if (!gradient.defined()) continue;
    const auto values = gradient.is_sparse() ? gradient._values() : gradient;
    if (!at::isfinite(values.sum()).item<bool>()) return true;
  }
  return false;
}

}  // namespace

Fields describe(TerminateOnNaNOptions& o) {
  return fields_of<TerminateOnNaNOptions>({
      {"check_gradients", &o.check_gradients, "look at the gradients of each step, too"},
  });
}

void TerminateOnNaN::on_fit_start(Run&) { finding_.clear(); }

void TerminateOnNaN::on_train_batch_start(const Batch& batch, Step&) { batch_ = &batch; }

void TerminateOnNaN::find(std::string_view subject, std::string_view verdict, const Step& step) {
  if (!finding_.empty()) return;
  finding_ = fmt::format("terminate on NaN: {} of batch {} in epoch {} {}", subject,
                         step.batch_index(), step.epoch(), verdict);
  if (batch_ != nullptr) finding_ += "; " + describe_rows(*batch_);
}

void TerminateOnNaN::on_before_backward(const torch::Tensor& loss, Step& step) {
  const double value = loss.detach().item<double>();
  if (!std::isfinite(value)) find("the loss", fmt::format("is {}", unsigned_nan(value)), step);
}

void TerminateOnNaN::on_before_optimizer_step(Optimizer& optimizer, Step& step) {
  // The gradients are sums over all ranks, of which another one may have found it.
  const bool looks = options_.check_gradients || step.run().ranks().size() > 1;
  if (finding_.empty() && !(looks && has_bad_gradients(optimizer))) return;
  if (options_.check_gradients) find("the gradients", "aren't all finite", step);
  optimizer.zero_grad();
}

void TerminateOnNaN::on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) {
  batch_ = nullptr;
  Run& run = step.run();
  if (!run.ranks().any_after_step("TerminateOnNaN", !finding_.empty())) return;
  const std::string reason =
      finding_.empty() ? "terminate on NaN: another rank has found a loss that isn't finite"
                       : finding_;
  run.warn(reason);
  run.stop(reason);
}

}  // namespace levin
