// Included by c10d/ProcessGroupGloo.hpp, which uses nothing of it: see context.h.
#pragma once
