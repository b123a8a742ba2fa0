#pragma once

#include <exception>

#include <levin/framework/loops/fit_loop.h>
#include <levin/framework/loops/hook_list.h>
#include <levin/framework/run/run_control.h>
#include <levin/framework/trainer/run_loggers.h>

namespace levin {

/// Clears up after the exception `error` has ended a run: calls on_exception of all callbacks and
/// of the module, lets the fit save what can be saved, and finishes the loggers. Each of these may
/// fail by itself; that is printed to stderr and doesn't hide `error`. `hooks` and `fit_loop` are
/// null if the run didn't get as far as making them.
void clear_up_after(const std::exception& error, const HookList* hooks, FitLoop* fit_loop,
                    RunLoggers& loggers, RunControl& run);

/// Rethrows the exception being handled. If it is one of LibTorch's own, this adds where it
/// happened: "in fit at epoch 3, step 120, batch 7, rank 0".
[[noreturn]] void rethrow_with_place(const Run& run);

}  // namespace levin
