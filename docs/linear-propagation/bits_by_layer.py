#!/usr/bin/env python3
"""Draws bits per number by layer, K and V, out of what `skv evaluate --json` printed.

    bits_by_layer.py TITLE OUT.svg LABEL=FILE.json...

Standard library only. The files must have the same tensors.
"""
import json
import sys
from xml.sax.saxutils import escape

COLOURS = ['#9aa0a6', '#1a73e8', '#e8710a', '#188038', '#a142f4']
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 320, 46, 12, 58, 44


def step_of(largest):
    return next(s for s in (0.1, 0.2, 0.5, 1, 2, 4) if largest / s <= 7)


def draw(title, series):
    """SVG of series: a list of (label, report)."""
    names = ['%d %s' % (t['layer'], t['kind'].upper()) for t in series[0][1]['tensors']]
    bits = [[t['bits_per_scalar'] for t in report['tensors']] for _, report in series]
    for report in bits:
        if len(report) != len(names):
            sys.exit('bits_by_layer.py: the files have different tensors')
    largest = max(map(max, bits))
    step = step_of(largest)
    top = step * (int(largest / step) + 1)
    plot_width, plot_height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def y(value):
        return TOP + plot_height * (1 - value / top)

    out = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" '
           'font-family="sans-serif" font-size="12">' % (WIDTH, HEIGHT, WIDTH, HEIGHT),
           '<rect width="100%" height="100%" fill="white"/>',
           '<text x="%d" y="20" font-size="14" font-weight="bold">%s</text>' % (LEFT, escape(title))]
    at = LEFT
    for i, (label, report) in enumerate(series):
        text = '%s: %.2f' % (label, report['bits_per_scalar'])
        out.append('<rect x="%d" y="32" width="11" height="11" fill="%s"/>' % (at, COLOURS[i]))
        out.append('<text x="%d" y="42">%s</text>' % (at + 16, escape(text)))
        at += 16 + 7 * len(text) + 18
    for i in range(round(top / step) + 1):
        value = i * step
        out.append('<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#e0e0e0"/>'
                   % (LEFT, WIDTH - RIGHT, y(value), y(value)))
        out.append('<text x="%d" y="%.1f" text-anchor="end">%g</text>' % (LEFT - 6, y(value) + 4, value))
    group = plot_width / len(names)
    bar = group * 0.8 / len(series)
    for n, name in enumerate(names):
        for i, report in enumerate(bits):
            out.append('<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>'
                       % (LEFT + n * group + 0.1 * group + i * bar, y(report[n]), bar - 0.5,
                          y(0) - y(report[n]), COLOURS[i]))
        out.append('<text x="%.1f" y="%d" text-anchor="middle">%s</text>'
                   % (LEFT + (n + 0.5) * group, HEIGHT - BOTTOM + 17, name))
    out.append('<text x="%.1f" y="%d" text-anchor="middle">layer; bits per number</text>'
               % (LEFT + plot_width / 2, HEIGHT - 8))
    out.append('</svg>')
    return '\n'.join(out) + '\n'


def main(arguments):
    if len(arguments) < 3 or any('=' not in a for a in arguments[2:]) or len(arguments) > 2 + len(COLOURS):
        sys.exit(__doc__)
    series = []
    for argument in arguments[2:]:
        label, path = argument.split('=', 1)
        with open(path, encoding='utf-8') as f:
            series.append((label, json.load(f)))
    with open(arguments[1], 'w', encoding='utf-8') as f:
        f.write(draw(arguments[0], series))


if __name__ == '__main__':
    main(sys.argv[1:])
