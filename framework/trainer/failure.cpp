#include <levin/framework/trainer/failure.h>

#include <fmt/format.h>

#include <levin/framework/core/diagnostics.h>
#include <levin/framework/tensor/torch_error.h>

namespace levin {
namespace {

/// Calls `work`; if it throws, prints `what` and the message to stderr.
template <class Work>
void attempt(const char* what, Work work) {
  try {
    work();
  } catch (const std::exception& another) {
    diagnostics::print(fmt::format("{}: {}\n", what, plain_message(another)));
  }
}

}  // namespace

void clear_up_after(const std::exception& error, const HookList* hooks, FitLoop* fit_loop,
                    RunLoggers& loggers, DataModule& data, RunControl& run) {
  run.set_active(nullptr);
  if (hooks != nullptr) {
    for (Hooks* one : hooks->everybody()) {
      attempt("a hook threw an exception in on_exception as well",
              [&] { one->on_exception(error, run); });
    }
  }
  attempt("the data module threw an exception in on_exception as well",
          [&] { data.on_exception(error); });
  if (fit_loop != nullptr) {
    attempt("no checkpoint could be saved", [&] { fit_loop->save_after_exception(error); });
  }
  for (Logger* logger : loggers.used()) {
    attempt("a logger couldn't be finished", [&] { logger->finish(/*failed=*/true); });
  }
}

void add_place(std::exception& error, const Run& run) {
  if (auto* torch_error = dynamic_cast<c10::Error*>(&error)) {
    say_where(*torch_error, fmt::format("in {} at epoch {}, step {}, batch {}, rank {}",
                                        stage_name(run.stage()), run.epoch(), run.global_step(),
                                        run.progress().batch, run.ranks().rank()));
  }
}

}  // namespace levin
