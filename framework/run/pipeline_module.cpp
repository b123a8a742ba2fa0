#include <levin/framework/run/pipeline_module.h>

#include <utility>

#include <c10/core/GradMode.h>

#include <levin/framework/pipeline/pipeline.h>

namespace levin {

/// Notes that nobody looks at outputs, so that they needn't be sent.
void PipelineModule::on_outputs(const torch::Tensor& /*outputs*/, const torch::Tensor& /*loss*/,
                                const Batch& /*batch*/, Step& /*step*/) {
  ignores_outputs_ = true;
}

torch::Tensor PipelineModule::forward(const Batch& batch) {
  if (const auto all = pipeline()) return all->forward(batch);
  return layers()->forward(batch.input());
}

torch::Tensor PipelineModule::training_step(const Batch& batch, Step& step) {
  const int64_t count = loss_count(batch);
  if (count != batch.rows()) step.set_batch_size(count);
  torch::Tensor outputs;
  torch::Tensor mean;
  const auto all = pipeline();
  if (all == nullptr) {
    outputs = forward(batch);
    mean = loss(outputs, batch);
    outputs = outputs.detach();
  } else {
    auto trained = all->train(
        batch,
        [this](const torch::Tensor& part_outputs, const Batch& part) {
          return loss(part_outputs, part);
        },
        [this](const Batch& part) { return loss_count(part); }, !ignores_outputs_);
    outputs = std::move(trained.outputs);
    mean = std::move(trained.loss);
  }
  step.log("train_loss", mean, {.prog_bar = true});
  if (!ignores_outputs_) {
    const at::NoGradGuard no_grad;
    on_outputs(outputs, mean.detach(), batch, step);
  }
  return mean;
}

}  // namespace levin
