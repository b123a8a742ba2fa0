#include <levin/callbacks/backbone_finetuning.h>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {

Fields describe(BackboneFinetuningOptions& o) {
  return fields_of<BackboneFinetuningOptions>({
      {"backbone", &o.backbone, "the name of the part that is frozen at first"},
      {"unfreeze_backbone_at_epoch", &o.unfreeze_backbone_at_epoch,
       "the epoch, from 0, from which on it is trained"},
      {"multiplier", &o.multiplier,
       "what its learning rate is multiplied by in each further epoch"},
      {"backbone_initial_ratio_lr", &o.backbone_initial_ratio_lr,
       "its first learning rate, as a share of that of the other parameters"},
      {"backbone_initial_lr", &o.backbone_initial_lr,
       "its first learning rate; null: backbone_initial_ratio_lr counts"},
      {"should_align", &o.should_align,
       "never let its learning rate exceed that of the other parameters"},
      {"train_bn", &o.train_bn, "train its batch norms all the time"},
  });
}

void validate(const BackboneFinetuningOptions& o) {
  const auto refuse = [](const char* option, auto value, const char* requirement) {
    throw ConfigError::invalid_value(fmt::format("BackboneFinetuning.{}", option),
                                     fmt::format("{}", value), requirement);
  };
  if (o.backbone.empty()) refuse("backbone", "''", "must be the name of a submodule");
  if (o.unfreeze_backbone_at_epoch < 0) {
    refuse("unfreeze_backbone_at_epoch", o.unfreeze_backbone_at_epoch, "must be at least 0");
  }
  if (!(o.multiplier > 0.0)) refuse("multiplier", o.multiplier, "must be above 0");
  if (!(o.backbone_initial_ratio_lr > 0.0)) {
    refuse("backbone_initial_ratio_lr", o.backbone_initial_ratio_lr, "must be above 0");
  }
  if (!(o.backbone_initial_lr.value_or(1.0) > 0.0)) {
    refuse("backbone_initial_lr", *o.backbone_initial_lr, "must be above 0");
  }
}

}  // namespace levin
