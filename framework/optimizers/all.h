#pragma once

/// Every optimizer and scheduler that Levin ships, their lists by name, and gradient clipping.
#include <levin/framework/optimizers/adagrad.h>
#include <levin/framework/optimizers/adam.h>
#include <levin/framework/optimizers/adamw.h>
#include <levin/framework/optimizers/clip.h>
#include <levin/framework/optimizers/cyclic_schedulers.h>
#include <levin/framework/optimizers/lbfgs.h>
#include <levin/framework/optimizers/optimizers.h>
#include <levin/framework/optimizers/parameter_groups.h>
#include <levin/framework/optimizers/plateau.h>
#include <levin/framework/optimizers/rmsprop.h>
#include <levin/framework/optimizers/scheduler_list.h>
#include <levin/framework/optimizers/schedulers.h>
#include <levin/framework/optimizers/sequential_lr.h>
#include <levin/framework/optimizers/sgd.h>
