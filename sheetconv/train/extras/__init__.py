"""What makes training faster or better than the lesson's way, and stands aside so that the loop can be read.

None of it is needed to train: a recipe asks for each piece by one setting, `train` by one option. Figures are of
`tests/benchmarks/RESULTS.md`, measured with and without it.

| module | what for | asked for by | gain |
|---|---|---|---|
| `winograd` | 3×3 convolutions with fewer products, on a CPU | `--convolutions winograd` | a step 1.56 to 1.97 times as fast |
| `memory` | freed memory kept for the next batch; a full one told in a line | always | an epoch in 64.5 CPU s for 76.8 |
| `switches` | threads, bf16 and convolutions chosen by a short timing | `--threads`, `--amp` `auto` | the better of each two |
| `trials` | the best of several initialisations goes on | `trials` | after one epoch a fifth less error than the worst |
| `starts` | open ReLUs; whitened first kernels that need no gradient | `init` | 0.2 points, a step a tenth cheaper |
| `skip` | easy images seen less often | `skip_easy` | 93.9% for 93.7%: three such epochs for about two whole ones |
| `full_adam` | Adam along the axes of the gradient, for tiny networks | `opt=full-adam` | error 0.0124 for 0.0145 |
"""
