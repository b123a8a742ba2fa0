#pragma once

#include <memory>
#include <vector>

#include <levin/framework/solvers/linear_loss.h>
#include <levin/framework/solvers/objective.h>
#include <levin/framework/solvers/row_source.h>

namespace levin {

/// The objective of a linear loss over all rows, in float64, while the strengths of its penalties
/// change: what a search for the best strength minimises at the time.
class WholeObjective : public Objective {
 public:
  int64_t size() const override { return all_rows_->size(); }
  torch::Tensor l1() const override { return all_rows_->l1(); }
  double evaluate(const torch::Tensor& point, const torch::Tensor& gradient) override {
    return all_rows_->evaluate(point, gradient);
  }
  torch::Tensor hessian_product(const torch::Tensor& vector) override {
    return all_rows_->hessian_product(vector);
  }

 protected:
  /// Keeps a reference to `rows`. `set_all_rows` has to be called before everything else.
  WholeObjective(RowSource& rows, const std::vector<torch::Tensor>& parameters)
      : rows_(rows), parameters_(parameters) {}
  /// Sets the loss with its strengths.
  void set_all_rows(LinearLoss loss);

  RowSource& rows_;
  std::vector<torch::Tensor> parameters_;

 private:
  std::unique_ptr<Objective> all_rows_;
};

}  // namespace levin
