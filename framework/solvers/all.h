#pragma once

// The solvers, and the lists of optimizers and schedulers by name.

#include <levin/framework/solvers/automatic_solver.h>
#include <levin/framework/solvers/coordinate_descent.h>
#include <levin/framework/solvers/cross_validation.h>
#include <levin/framework/solvers/dual_coordinate_descent.h>
#include <levin/framework/solvers/lockstep_newton.h>
#include <levin/framework/solvers/newton_cg.h>
#include <levin/framework/solvers/newton_cholesky.h>
#include <levin/framework/solvers/online_methods.h>
#include <levin/framework/solvers/optimizer_list.h>
#include <levin/framework/solvers/path_solver.h>
#include <levin/framework/solvers/quasi_newton.h>
#include <levin/framework/solvers/regression_cv.h>
#include <levin/framework/solvers/regularization_path.h>
#include <levin/framework/solvers/saga.h>
