#!/usr/bin/env bash
# The flow of examples/README.md: run.sh NETWORK FILE.py BUDGET..., for example
#   TAP_DATA=/path/to/data examples/run.sh resnet20 examples/cifar10.py int2.5 int3 int4
set -euo pipefail
network=$1 file=$2
shift 2
formats=${TAP_FORMATS:-int2,int3,int4}
proxies=${TAP_PROXIES:-sqnr squeezellm hawq_v1 hawq_v2 modelopt autoround mpqco}
plans=() uniform=() read=()
for proxy in $proxies; do read+=(--for "$proxy"); done
tap collect "$file:$network" --data "$file:calibration" --formats "$formats" --samples "${TAP_SAMPLES:-256}" "${read[@]}" -o table.safetensors
for budget in "$@"; do
  for proxy in $proxies; do
    tap allocate --table table.safetensors --proxy "$proxy" --budget "$budget" -o "$proxy-$budget.json" --quiet
    plans+=(--plan "$proxy-$budget.json")
  done
  [[ $budget == *.* ]] || uniform+=(--uniform "$budget")
done
tap quantize "$file:$network" --data "$file:calibration" --eval "$file:evaluation" "${plans[@]}" "${uniform[@]}"
