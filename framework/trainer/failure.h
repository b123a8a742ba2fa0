#pragma once

#include <exception>

#include <levin/framework/loops/fit_loop.h>
#include <levin/framework/loops/hook_list.h>
#include <levin/framework/run/run_control.h>
#include <levin/framework/trainer/run_loggers.h>

namespace levin {

/// Clears up after the exception `error` has ended a run. It calls on_exception of all callbacks,
/// of the module and of the data module, lets the fit save what can be saved, and finishes the
/// loggers, in this order. If one of these throws, its message is printed to stderr and the rest is
/// still done, so that nothing hides `error`. `hooks` and `fit_loop` are null if the run failed
/// before it made them. Not a collective: the other ranks may be gone.
void clear_up_after(const std::exception& error, const HookList* hooks, FitLoop* fit_loop,
                    RunLoggers& loggers, DataModule& data, RunControl& run);

/// If `error` is one of LibTorch's own (c10::Error), makes its message one line that also says
/// where it happened, "(in fit at epoch 3, step 120, batch 7, rank 0)", and leaves out the C++
/// stack unless TORCH_SHOW_CPP_STACKTRACES is set (see plain_message). Other errors stay as they
/// are. To be called before the error is told to callbacks and other ranks.
void add_place(std::exception& error, const Run& run);

}  // namespace levin
