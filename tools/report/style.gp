# SPDX-License-Identifier: MIT
# How every picture looks: 8.5 cm wide as a column of a paper, a palette that colour-blind readers can tell apart (Okabe and
# Ito, 2008), thin frame on two sides, light grid, legend above the plot and never over the data.
set encoding utf8
set border 3 lw 0.8 lc rgb "#333333"
set tics nomirror out scale 0.6
set grid ytics lw 0.5 lc rgb "#dddddd"
set key above left horizontal Left reverse samplen 1.6 spacing 1.05
set style line 1 lc rgb "#0072b2" lw 2 pt 7 ps 0.55
set style line 2 lc rgb "#d55e00" lw 2 pt 5 ps 0.55 dt (12,4)
set style line 3 lc rgb "#009e73" lw 2 pt 9 ps 0.65 dt (4,3)
set style line 4 lc rgb "#cc79a7" lw 2 pt 13 ps 0.65 dt (12,3,3,3)
set style line 5 lc rgb "#000000" lw 2 pt 11 ps 0.65 dt (2,2)
set style line 6 lc rgb "#e69f00" lw 2 pt 4 ps 0.65
set style line 7 lc rgb "#56b4e9" lw 2 pt 6 ps 0.65 dt (8,3)
set style line 8 lc rgb "#999999" lw 2 pt 8 ps 0.65 dt (3,3)
array colour[8] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00", "#56b4e9", "#999999"]
