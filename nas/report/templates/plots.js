function draw(id, figure) {
  const element = document.getElementById(id);
  if (!element) return;
  const narrow = element.clientWidth < 560;
  if (narrow) {
    figure.layout.margin.l = 44;
    figure.layout.legend = Object.assign({}, figure.layout.legend, {y: -0.25, yanchor: "top"});
    figure.layout.height += 100;
  }
  Plotly.newPlot(element, figure.data, figure.layout, {
    responsive: true,
    displaylogo: false,
    displayModeBar: false,
  });
}
addEventListener("beforeprint", () => document.querySelectorAll(".plot").forEach((plot) => Plotly.Plots.resize(plot)));
